import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import { addCommand, outputOption, type Placed, type Printing, withPlace } from './command.ts';
import { CommandError, wrongUse } from './exit.ts';
import { type Client, Refusal } from './http-client.ts';
import { type GivenIdentity, type ImportLine, identitiesFrom } from './import-lines.ts';
import { servicePath } from './management-paths.ts';
import { print } from './output.ts';
import { operatorAccess } from './server-access.ts';

interface ImportOptions extends Placed, Printing {
  name: string;
  report?: string;
}

/** What the server says of a list. */
interface Answer {
  readonly imported: number;
  readonly unchanged: number;
  readonly refused: readonly { readonly index: number; readonly error: { readonly message: string } }[];
}

/** Why lines were refused, how many, and the first of them. */
interface Refusals {
  readonly reason: string;
  count: number;
  readonly lines: number[];
}

const MOST_PER_REQUEST = 1000;
/** Of a body, which the server takes up to 1 MiB of. */
const MOST_BYTES = 512 * 1024;
/** One is on its way while another is being written to the store. */
const AT_ONCE = 2;
const MOST_ATTEMPTS = 6;
const LINES_SHOWN = 5;

/** `linarite identity import`. */
export function addImportCommand(identity: Command, context: CliContext): void {
  withPlace(
    addCommand(
      identity,
      'import',
      'import users with the ids they have in the original',
      'linarite identity import ids.csv --name contoso --report refused.ndjson',
      'psql -At -c "select acs_id from users" | linarite identity import - --name contoso',
    ),
  )
    .argument(
      '<file>',
      "one id per line, CSV (id,customId,createdAt) or one JSON object per line; '-' for standard input",
    )
    .requiredOption('-n, --name <name>', 'name of the resource')
    .option('--report <file>', 'write every refused line with its reason to this new file, one JSON object per line')
    .addOption(outputOption())
    .action(async (file: string, options: ImportOptions) => {
      const client = operatorAccess(context, options);
      const { properties } = await client.call<{ properties: { immutableResourceId: string } }>(
        'GET',
        servicePath(options, `/${encodeURIComponent(options.name)}`),
      );
      const report = options.report === undefined ? undefined : await reportFile(options.report);
      try {
        const source = file === '-' ? process.stdin : await inputFile(file);
        const run = new Import(client, `/-/resources/${properties.immutableResourceId}/identities/:import`, report);
        await run.all(identitiesFrom(source));
        const { lines, imported, unchanged, refused, refusals } = run;
        print({ lines, imported, unchanged, refused, refusals }, options.output, [
          { Lines: lines, Imported: imported, Unchanged: unchanged, Refused: refused },
        ]);
        if (refused > 0) throw new CommandError(`${refused} of ${lines} lines were refused${where(options, refusals)}`);
      } finally {
        await report?.close();
      }
    });
}

const where = ({ report }: ImportOptions, refusals: readonly Refusals[]): string =>
  report === undefined
    ? `: ${refusals.map(({ reason, lines }) => `line ${lines[0]}: ${reason}`).join(' ')} Add --report <file> for all of them`
    : `: see ${report}`;

async function inputFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    return (await open(path)).createReadStream();
  } catch (cause) {
    throw wrongUse(`${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}

async function reportFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (cause) {
    throw wrongUse(`${path} cannot be created (${(cause as NodeJS.ErrnoException).code}): --report takes a new file`);
  }
}

/** One import: sends lists, a few at a time, and adds up what became of them. */
class Import {
  lines = 0;
  imported = 0;
  unchanged = 0;
  refused = 0;
  readonly #client: Client;
  readonly #target: string;
  readonly #report: FileHandle | undefined;
  readonly #refusals = new Map<string, Refusals>();

  constructor(client: Client, target: string, report: FileHandle | undefined) {
    this.#client = client;
    this.#target = target;
    this.#report = report;
  }

  get refusals(): Refusals[] {
    return [...this.#refusals.values()];
  }

  /** @throws CommandError when the server refuses a whole list, or cannot be reached */
  async all(lines: AsyncIterable<ImportLine>): Promise<void> {
    const underWay: Promise<() => Promise<void>>[] = [];
    const finishFirst = async (): Promise<void> => (await underWay.shift())?.();
    let list: ImportLine[] = [];
    let bytes = 0;
    const send = async (): Promise<void> => {
      if (underWay.length === AT_ONCE) await finishFirst();
      const sent = this.#send(list);
      sent.catch(() => undefined); // it is waited for in its turn
      underWay.push(sent);
      [list, bytes] = [[], 0];
    };
    for await (const line of lines) {
      list.push(line);
      bytes += 'identity' in line ? Buffer.byteLength(JSON.stringify(line.identity)) : 0;
      if (list.length < MOST_PER_REQUEST && bytes < MOST_BYTES) continue;
      await send();
    }
    if (list.length > 0) await send();
    while (underWay.length > 0) await finishFirst();
  }

  /** @returns notes what became of the list */
  async #send(list: readonly ImportLine[]): Promise<() => Promise<void>> {
    const given = list.filter((entry) => 'identity' in entry);
    const answer = await this.#call(given.map(({ identity }) => identity));
    const reasons = new Map(answer.refused.map(({ index, error }) => [given[index]?.line, error.message]));
    return async () => {
      this.lines += list.length;
      this.imported += answer.imported;
      this.unchanged += answer.unchanged;
      const refused = list.flatMap((entry) => {
        const reason = 'complaint' in entry ? entry.complaint : reasons.get(entry.line);
        if (reason === undefined) return [];
        return [{ line: entry.line, ...('identity' in entry && { id: entry.identity.id }), reason }];
      });
      for (const { line, reason } of refused) this.#count(line, reason);
      if (refused.length > 0) await this.#report?.appendFile(refused.map((one) => `${JSON.stringify(one)}\n`).join(''));
    };
  }

  #count(line: number, reason: string): void {
    this.refused += 1;
    const same = this.#refusals.get(reason) ?? { reason, count: 0, lines: [] };
    same.count += 1;
    if (same.lines.length < LINES_SHOWN) same.lines.push(line);
    this.#refusals.set(reason, same);
  }

  /** A server that is overloaded, or is being started again, is asked again: what it has done already it finds done. */
  async #call(identities: readonly GivenIdentity[]): Promise<Answer> {
    if (identities.length === 0) return { imported: 0, unchanged: 0, refused: [] };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#client.call<Answer>('POST', this.#target, { body: { identities } });
      } catch (cause) {
        if (!(cause instanceof CommandError)) throw cause;
        const mayPass = !(cause instanceof Refusal) || cause.status === 503 || cause.status === 429;
        if (!mayPass || attempt === MOST_ATTEMPTS)
          throw new CommandError(
            `${cause.message}; ${this.lines} lines are done: run the command again, users that exist already stay as they are`,
            { cause },
          );
        await sleep(500 * 2 ** attempt);
      }
    }
  }
}
