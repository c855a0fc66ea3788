import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import { addCommand, addGroup, outputOption, type Printing, withOperator } from './command.ts';
import { type Cells, print } from './output.ts';
import { type OperatorOptions, operatorAccess } from './server-access.ts';

interface DataKeys {
  readonly dataKeys: readonly {
    readonly id: string;
    readonly state: string;
    readonly createdAt: string;
    readonly encryptions: number;
    readonly values: number;
    readonly kekId?: string;
  }[];
}

type Options = OperatorOptions & Printing;

/** `linarite key-ring …`: the keys that encrypt the secrets in the store. */
export function addKeyRingCommands(program: Command, context: CliContext): void {
  const ring = addGroup(program, 'key-ring', 'keys that encrypt the secrets in the store');

  const add = (name: string, summary: string, action: (options: Options) => Promise<void>): Command =>
    withOperator(addCommand(ring, name, summary, `linarite key-ring ${name}`))
      .addOption(outputOption())
      .action(action);

  add('show', 'list the data keys, and how many secrets each one encrypts', async (options) => {
    const found = await operatorAccess(context, options).call<DataKeys>('GET', '/-/key-ring');
    print(found, options.output, cellsOf(found));
  });

  add(
    'rotate-data-key',
    'make a new data key, and encrypt again with it what former keys encrypted',
    async (options) => {
      const found = await operatorAccess(context, options).call<DataKeys>('POST', '/-/key-ring/rotate-data-key');
      print(found, options.output, cellsOf(found));
    },
  );

  add(
    'rotate-kek',
    'encrypt the data keys with the key-encryption key that the server settings name now',
    async (options) => {
      type Done = { kekId: string; rewrapped: number };
      const done = await operatorAccess(context, options).call<Done>('POST', '/-/key-ring/rotate-kek');
      print(done, options.output, [{ KekId: done.kekId, Rewrapped: done.rewrapped }]);
    },
  );
}

const cellsOf = ({ dataKeys }: DataKeys): Cells[] =>
  dataKeys.map(({ id, state, createdAt, encryptions, values, kekId }) => ({
    DataKey: id,
    State: state,
    CreatedAt: createdAt,
    Encryptions: encryptions,
    Values: values,
    KekId: kekId ?? 'unknown here',
  }));
