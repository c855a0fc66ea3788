import { cpSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { clientEnvironment, type Outcome, ROOT, type RunningServer, run } from './test-environment.ts';

export const GUIDE = 'docs/guides/troubleshooting.md';

type Sdk = 'JavaScript' | 'Python (blocking)' | 'Python (asyncio)' | 'Java';

/** What each SDK shows, in the guide's words; empty: the program succeeds. */
type Says = Readonly<Record<Sdk, readonly string[]>>;

interface SdkProblem {
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

export const SDK_PROBLEMS: readonly SdkProblem[] = [
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
    env: () => ({ PROBLEM_ID: `8:acs:${NOWHERE}_${NOWHERE}` }),
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
export const guideTexts = (): string[] => SDK_PROBLEMS.flatMap(({ says }) => Object.values(says).flat());

/** A program of the folder sdk-problems/, in a folder where its SDK is at hand. */
export interface SdkProgram {
  sdk: Sdk;
  start(given: readonly string[], env: Record<string, string>, trusts: boolean): Promise<Outcome>;
}

const program = (name: string): string => join(ROOT, 'tests/harness/clients/sdk-problems', name);

/** @param example folder of an example in which the SDK is found */
export function javascriptPrograms(example: string, { caPath }: RunningServer): SdkProgram[] {
  cpSync(program('sdk-problem.mjs'), join(example, 'sdk-problem.mjs'));
  const start: SdkProgram['start'] = (given, env, trusts) =>
    run(process.execPath, ['sdk-problem.mjs', ...given], {
      cwd: example,
      env: { ...clientEnvironment(trusts ? { NODE_EXTRA_CA_CERTS: caPath } : {}), ...env },
    });
  return [{ sdk: 'JavaScript', start }];
}

export const pythonPrograms = (python: string, { caPath }: RunningServer): SdkProgram[] =>
  (['blocking', 'asyncio'] as const).map((kind) => ({
    sdk: `Python (${kind})`,
    start: (given, env, trusts) =>
      run(python, [program('sdk_problem.py'), kind === 'asyncio' ? 'async' : 'sync', ...given], {
        env: { ...clientEnvironment(trusts ? { REQUESTS_CA_BUNDLE: caPath, SSL_CERT_FILE: caPath } : {}), ...env },
      }),
  }));

/** @param example folder of the example after it was built */
export async function javaPrograms(example: string, trustOptions: string): Promise<SdkProgram[]> {
  const classes = 'target/classes:target/dependency/*';
  const compiled = await run('javac', ['-d', 'target/classes', '-cp', classes, program('SdkProblem.java')], {
    cwd: example,
  });
  if (compiled.code !== 0) throw new Error(compiled.errors);
  const start: SdkProgram['start'] = (given, env, trusts) =>
    run('java', ['-cp', classes, 'SdkProblem', ...given], {
      cwd: example,
      env: { ...clientEnvironment(trusts ? { JAVA_TOOL_OPTIONS: trustOptions } : {}), ...env },
    });
  return [{ sdk: 'Java', start }];
}

/** Gets every SDK into every problem of the guide. @returns what went otherwise than the guide says */
export async function checkSdkProblems(programs: readonly SdkProgram[], server: RunningServer): Promise<string[]> {
  const complaints: string[] = [];
  for (const { situation, trusts = true, env = () => ({}), given, says } of SDK_PROBLEMS) {
    const variables = env();
    if (variables === undefined) {
      console.log(`sdk-problems: ${situation}: NOT RUN, libfaketime is not installed (apt-get install faketime)`);
      continue;
    }
    for (const { sdk, start } of programs) {
      const expected = says[sdk];
      if (expected === undefined) continue;
      const { output, errors } = await start(given(server), variables, trusts);
      const said = output.replace(/x-ms-date is -60\d s/, 'x-ms-date is -600 s'); // a second may pass on the way
      const missing = (expected.length > 0 ? expected : ['no problem']).filter((text) => !said.includes(text));
      if (missing.length > 0)
        complaints.push(`${sdk}, ${situation}: no ${missing.join(', no ')} in: ${output}${errors}`);
    }
  }
  return complaints;
}
