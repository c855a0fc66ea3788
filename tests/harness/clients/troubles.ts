import { cpSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { clientEnvironment, type Outcome, ROOT, type RunningServer, run } from './workshop.ts';

export const GUIDE = 'docs/guides/troubleshooting.md';

type Sdk = 'JavaScript' | 'Python (blocking)' | 'Python (asyncio)' | 'Java';

/** What each SDK shows, in the guide's words; empty: it shows no trouble. */
type Says = Readonly<Record<Sdk, readonly string[]>>;

interface Trouble {
  situation: string;
  /** False: the client knows nothing of our authority. */
  trusts?: false;
  /** Further variables of the client's environment. Undefined: it cannot be arranged here. */
  env?(): Record<string, string> | undefined;
  given(server: RunningServer): string[];
  says: Partial<Says>;
}

const everywhere = (...texts: readonly string[]): Says => ({
  JavaScript: texts,
  'Python (blocking)': texts,
  'Python (asyncio)': texts,
  Java: texts,
});

const WRONG_KEY = Buffer.alloc(64).toString('base64');
const NOWHERE = '00000000-0000-0000-0000-000000000000';
const PYTHON_DENIED = 'azure.core.exceptions.ClientAuthenticationError: (Denied) Denied by the resource provider.';
const PYTHON_FOREIGN =
  "azure.core.exceptions.ClientAuthenticationError: (IdentityNotOwned) Provided identity doesn't belong to the resource.";
const UNTRUSTED = ['CERTIFICATE_VERIFY_FAILED', 'unable to get local issuer certificate'];
const SKEWED = [
  "The time difference between the request's date and the server is greater than the allowed margin of 5 minutes.",
  'x-linarite-reason: date.skewed; x-ms-date is -600 s from the server clock',
];

export const TROUBLES: readonly Trouble[] = [
  {
    situation: 'the certificate authority is not trusted',
    trusts: false,
    given: ({ connectionString }) => [connectionString],
    says: {
      JavaScript: ['RestError: unable to verify the first certificate'],
      'Python (blocking)': UNTRUSTED,
      'Python (asyncio)': UNTRUSTED,
      Java: ['PKIX path building failed', 'unable to find valid certification path to requested target'],
    },
  },
  {
    situation: 'http in the connection string',
    given: ({ connectionString }) => [connectionString.replace('https:', 'http:')],
    says: {
      JavaScript: ['while allowInsecureConnection is false'],
      'Python (blocking)': [],
      'Python (asyncio)': [],
      Java: ['AzureKeyCredential requires a URL using the HTTPS protocol scheme'],
    },
  },
  {
    situation: 'the wrong key',
    given: ({ connectionString }) => [connectionString.replace(/accesskey=.*/, `accesskey=${WRONG_KEY}`)],
    says: {
      JavaScript: ['RestError: Denied by the resource provider.', 'x-linarite-reason: signature.key'],
      'Python (blocking)': [PYTHON_DENIED, 'x-linarite-reason: signature.key'],
      'Python (asyncio)': [PYTHON_DENIED, 'x-linarite-reason: signature.key'],
      Java: [
        'Status code 401, "{"error":{"code":"Denied","message":"Denied by the resource provider."}}"',
        'x-linarite-reason: signature.key',
      ],
    },
  },
  {
    situation: 'the clock is ten minutes behind',
    env() {
      const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
      return library === undefined
        ? undefined
        : { LD_PRELOAD: library, FAKETIME: '-10m', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
    },
    given: ({ connectionString }) => [connectionString],
    // Java takes a minute and a half to start under libfaketime; it was done once, by hand.
    says: { JavaScript: SKEWED, 'Python (blocking)': SKEWED, 'Python (asyncio)': SKEWED },
  },
  {
    situation: 'an identity of another resource',
    env: () => ({ TROUBLE_ID: `8:acs:${NOWHERE}_${NOWHERE}` }),
    given: ({ connectionString }) => [connectionString],
    says: {
      JavaScript: [
        "RestError: Provided identity doesn't belong to the resource.",
        'x-linarite-reason: IdentityNotOwned',
      ],
      'Python (blocking)': [PYTHON_FOREIGN],
      'Python (asyncio)': [PYTHON_FOREIGN],
      Java: [
        `Status code 401, "{"error":{"code":"IdentityNotOwned","message":"Provided identity doesn't belong to the resource."}}"`,
      ],
    },
  },
  {
    situation: 'a slash behind the endpoint',
    given: ({ task }) => [`https://localhost:${task.port}/`, task.key],
    says: { JavaScript: [], 'Python (blocking)': [PYTHON_DENIED], 'Python (asyncio)': [PYTHON_DENIED], Java: [] },
  },
  {
    situation: 'no slash behind the endpoint',
    given: ({ task }) => [`https://localhost:${task.port}`, task.key],
    says: everywhere(),
  },
  {
    situation: 'the server is not there',
    given: ({ unusedPort }) => [`endpoint=https://localhost:${unusedPort}/;accesskey=${WRONG_KEY}`],
    says: {
      JavaScript: ['RestError: connect ECONNREFUSED'],
      'Python (blocking)': ['Failed to establish a new connection: [Errno 111] Connection refused'],
      'Python (asyncio)': ['Cannot connect to host localhost', 'Connect call failed'],
      Java: ['Connection refused: localhost/127.0.0.1'],
    },
  },
];

/** Every text that the guide must have. */
export const guideTexts = (): string[] => TROUBLES.flatMap(({ says }) => Object.values(says).flat());

/** A program of the folder troubles/, in a folder where its SDK is at hand. */
export interface TroubleMaker {
  sdk: Sdk;
  start(given: readonly string[], env: Record<string, string>, trusts: boolean): Promise<Outcome>;
}

const program = (name: string): string => join(ROOT, 'tests/harness/clients/troubles', name);

/** @param example folder of an example in which the SDK is found */
export function javascriptTroubles(example: string, { caPath }: RunningServer): TroubleMaker[] {
  cpSync(program('trouble.mjs'), join(example, 'trouble.mjs'));
  const start: TroubleMaker['start'] = (given, env, trusts) =>
    run(process.execPath, ['trouble.mjs', ...given], {
      cwd: example,
      env: { ...clientEnvironment(trusts ? { NODE_EXTRA_CA_CERTS: caPath } : {}), ...env },
    });
  return [{ sdk: 'JavaScript', start }];
}

export const pythonTroubles = (python: string, { caPath }: RunningServer): TroubleMaker[] =>
  (['blocking', 'asyncio'] as const).map((kind) => ({
    sdk: `Python (${kind})`,
    start: (given, env, trusts) =>
      run(python, [program('trouble.py'), kind === 'asyncio' ? 'async' : 'sync', ...given], {
        env: { ...clientEnvironment(trusts ? { REQUESTS_CA_BUNDLE: caPath, SSL_CERT_FILE: caPath } : {}), ...env },
      }),
  }));

/** @param example folder of the example after it was built */
export async function javaTroubles(example: string, trustOptions: string): Promise<TroubleMaker[]> {
  const classes = 'target/classes:target/dependency/*';
  const compiled = await run('javac', ['-d', 'target/classes', '-cp', classes, program('Trouble.java')], {
    cwd: example,
  });
  if (compiled.code !== 0) throw new Error(compiled.errors);
  const start: TroubleMaker['start'] = (given, env, trusts) =>
    run('java', ['-cp', classes, 'Trouble', ...given], {
      cwd: example,
      env: { ...clientEnvironment(trusts ? { JAVA_TOOL_OPTIONS: trustOptions } : {}), ...env },
    });
  return [{ sdk: 'Java', start }];
}

/** Gets every SDK into every trouble of the guide. @returns what went otherwise than the guide says */
export async function meetTroubles(makers: readonly TroubleMaker[], server: RunningServer): Promise<string[]> {
  const complaints: string[] = [];
  for (const { situation, trusts = true, env = () => ({}), given, says } of TROUBLES) {
    const variables = env();
    if (variables === undefined) {
      console.log(`troubles: ${situation}: NOT RUN, libfaketime is not installed (apt-get install faketime)`);
      continue;
    }
    for (const { sdk, start } of makers) {
      const expected = says[sdk];
      if (expected === undefined) continue;
      const { output, errors } = await start(given(server), variables, trusts);
      const said = output.replace(/x-ms-date is -60\d s/, 'x-ms-date is -600 s'); // a second may pass on the way
      const missing = (expected.length > 0 ? expected : ['no trouble']).filter((text) => !said.includes(text));
      if (missing.length > 0)
        complaints.push(`${sdk}, ${situation}: no ${missing.join(', no ')} in: ${output}${errors}`);
    }
  }
  return complaints;
}
