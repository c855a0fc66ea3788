/** A promise, and how somebody tries to break it. */
export interface Promised {
  readonly id: string;
  readonly group: string;
  readonly promise: string;
  readonly how: string;
  /** What measures it. */
  readonly command: string;
}

/** What a harness wrote down, see tests/harness/results.ts. */
export interface Measured {
  readonly id: string;
  readonly seed: number | string;
  readonly figures: Readonly<Record<string, number | string>>;
  readonly passed: boolean;
  readonly plantedFaultCaught: boolean;
  readonly seconds: number;
  readonly date: string;
  readonly commit: string | null;
}

export const isPassed = ({ passed, plantedFaultCaught }: Measured): boolean => passed && plantedFaultCaught;

type Row = readonly [id: string, promise: string, how: string, command: string];

// biome-ignore format: a table
const GROUPS: Readonly<Record<string, readonly Row[]>> = {
  'Nothing acknowledged is lost': [
    ['D1', 'A kill at any instant loses nothing that was confirmed, and brings no deletion or revocation back', 'Eight writers create, issue, revoke and delete; the process is killed with `kill -9` at a random moment and started again; every confirmed operation is looked at.', 'npm run test:crash'],
    ['D2', 'The sync to disk comes before the answer', 'The server runs under a system-call trace: for every confirmed write a completed sync of the log file lies between the last write of its commit and the answer.', 'npm run test:sync-order'],
    ['D3', 'A power cut loses nothing that was confirmed', 'From the trace the files are rebuilt as a cut could have left them: all before the last completed sync, and any subset, order and tearing of what was written after it. A server is started on each.', 'npm run test:power-cut'],
    ['D4', 'A full or failing disk never corrupts and never lies', 'A small file system is filled and freed, writes fail, syncs fail: writes answer 503 with Retry-After, token checks go on, and writes resume by themselves. After a failed sync the process ends and the next one starts from the disk.', 'npm run test:disk-full'],
    ['D5', 'A database that is killed loses nothing that was confirmed', 'PostgreSQL is killed under load and started again; a commit whose answer was lost is reported as unknown, never as done or refused.', 'npm run test:pg'],
    ['D6', 'A damaged store is noticed, not served', 'Bytes of a copy are changed at random: the start is refused, or nothing in a checked table is wrong. Checked are the structure of all pages, every entry of the revocation log, signing keys and everything sealed; names and times of identities are not.', 'npm run test:damage'],
    ['O4', 'A restored backup never brings a revoked person back', 'Backups are made under load, restored elsewhere and compared; every token from before is tried.', 'npm run test:backup'],
  ],
  'Revocation works when the call returns': [
    ['R1', 'The very next request with a revoked token is refused, and a token issued afterwards is not', 'Loops of issue, use, revoke, use, issue again, use, by several clients, on kept and on new connections.', 'npm run test:revocation'],
    ['R2', 'Once the call has returned, nobody who begins afterwards gets in, and nobody who was done before it was asked for was refused', 'A hundred readers use tokens without a pause while others revoke them and have new ones issued; every use is judged by its interval. On one node.', 'npm run test:revocation'],
    ['R6', 'Every event that ends tokens has the same force, in any order', 'All pairs of the nine kinds of events and random sequences, over HTTP, against a model: identity, deletion, instant, access key, resource, trust, assignment, signing key, everything.', 'npm run test:revocation'],
    ['R-model', 'No fault of network, database or clock makes a node accept a revoked token', 'A randomised model of three nodes with partitions, pauses, slow and lost messages, clock jumps, restarts and a fenced primary drives the real modules. Each rule taken away is reported.', 'npm run test:revocation'],
    ['R-repeat', 'A call that finds its work done by an earlier one says so only once that holds on every node', 'One of two servers on PostgreSQL is stopped with SIGSTOP. Each call that ends tokens is sent to the other one, and again 60 ms later; the same for access keys that are switched off and grants that are removed, also once. When the last call is answered, the stopped server goes on, and is asked.', 'npm test -- revocation/repeated'],
    ['R5', 'A restart keeps every revocation, and nothing is served before the log is loaded', 'A server with a million events of all nine kinds in its log, a quarter of them bounds and assignments, is killed and started, and asked with tokens from before from its first moment on. The goal is 5 s of the server’s processor time for a million; ready is by the clock on the wall, with whatever else the machine does.', 'npm run test:start'],
    ['R-crossing', 'A token that is asked for while what permits it ends is refused once both have been answered', 'Requests for tokens meet the deletion of their identity or resource, the regeneration of their key, and the end of their trust or assignment at every step.', 'npm run test:revocation'],
    ['R-cut', 'What ends tokens is done as a whole or not at all', 'The store fails at each statement of every ending; what was not done is as before, and doing it again does all of it.', 'npm test -- revocation/cut'],
    ['R-late', 'A key or trust that is taken back also stops requests whose bodies were held back', 'The headers are sent, what they were proven by is taken back, and then the body is sent.', 'npm test -- ended-meanwhile'],
    ['R8', 'Memory is bounded, however many are revoked', 'Ten million events of all nine kinds are loaded, with and without the cap: most are about identities, a tenth each are bounds on the instant of issue and ended assignments, and one identity has its bound raised again and again. Verdicts stay as they were.', 'npm run test:revocations'],
    ['R10', 'Five thousand revocations a second, one in each call', 'Many clients that each revoke one identity after the other, beside tokens that are judged right after their revocation; calls share transactions. Rates are by the clock on the wall, with whatever else the machine does.', 'npm run test:revoking'],
    ['R9', 'Clocks do not matter to revocation', 'The clock of a running server jumps by hours and days in both directions.', 'npm run test:clock'],
  ],
  'Tokens and signatures cannot be forged': [
    ['T1', 'Published attack vectors for JSON Web Signatures are refused', 'Wycheproof: every vector for JWS, JWK and JWT, and those for the algorithms below.', 'npm run test:tokens'],
    ['T2', 'Forgeries are refused, all alike and quickly', 'A generator of the published attacks on JWT, and edits of a valid token by one character.', 'npm run test:tokens'],
    ['T3', 'Claims are read with exact types, and none is believed that contradicts another', 'Valid claim sets, changed at random and signed with the right key.', 'npm run test:tokens'],
    ['T4', 'Each kind of credential opens its own routes and no others', 'The full cross product of credentials and routes, in both modes.', 'npm run test:tokens'],
    ['T5', 'Each scope permits what the published table says', 'Every cell of the table, through the door.', 'npm run test:tokens'],
    ['T6', 'Signing keys rotate without refusing a token', 'Rotations under load on several nodes.', 'npm run test:tokens'],
    ['T7', 'A signing key can be killed at once', 'Keys are killed under load on several nodes.', 'npm run test:tokens'],
    ['H1', 'A signed request is taken within its window only, to the second', 'A table of boundaries, and of other spellings of dates.', 'npm run test:signatures'],
    ['H2', 'A captured request can at most be repeated unchanged', 'Equal requests in one second, and changed copies.', 'npm run test:signatures'],
    ['H3', 'Method, path, query, date, host and body are all covered', 'Every class of bytes of a valid request is mutated.', 'npm run test:signatures'],
    ['H4', 'Comparing signatures takes as long whatever differs', 'Welch’s t-test between a difference in the first byte and in the last; below 4.5 nothing is seen.', 'npm run test:signatures'],
    ['H5', 'Official SDKs work unchanged', 'The JavaScript SDK in its oldest and newest releases, through a proxy, and over IPv6 with a port. Python and Java, operation by operation: the conformance table.', 'npm test -- sdk/javascript'],
  ],
  'Whatever is sent gets a clear answer': [
    ['A1', 'No malformed request gets a 5xx, a hang, or an answer without the envelope', 'A generator driven by the server’s own OpenAPI document: every operation, parameter, content type, credential.', 'npm run test:fuzz'],
    ['A2', 'The same for raw bytes', 'Hand-written framing cases, and mutated valid requests over raw sockets.', 'npm run test:framing'],
    ['A3', 'Answers tell clients the truth about trying again', 'Each status with what must come with it.', 'npm test -- retry-answers'],
    ['A4', 'Sequences are safe, also in parallel', 'Random sequences of operations against a simple model.', 'npm run test:model'],
  ],
  'Load is refused early, and fairly': [
    ['L1', 'Overload is refused, not absorbed', 'Four times the measured capacity: bounded queues, 503 or 429 with Retry-After, nothing confirmed is lost, revocations go through, recovery without a restart. How long the served ones wait is compared with 80 % of the capacity, in windows that take turns; the times are taken by a process that does nothing else, and the limit is judged only when other work had less than a tenth of the machine.', 'npm run test:overload'],
    ['L2', 'Slow clients cannot occupy the server', 'Slow headers, bodies and readers by the thousand; each is cut, others are served.', 'npm run test:slow'],
    ['L3', 'Big bodies cost nothing', 'Concurrent uploads, signed and unsigned, compressed bombs and deep JSON.', 'npm run test:bodies'],
    ['L4', 'One resource cannot starve another', 'One resource far over its share beside a quiet one, which is never refused. How long the quiet one waits beside ten times the quota is compared with how long it waits alone, in windows that take turns; judged like L1.', 'npm run test:fairness'],
    ['L4-costs', 'Requests that cost hundreds of times as much as others starve nobody either', 'One resource makes and removes 500 assignments with each request, over 8 and over 100 connections without a pause. Beside it the revocations of another resource, and health, are compared with how long they take alone, in windows that take turns: revocations at most twice as long and 50 ms, health 100 ms (99th percentiles); judged like L1.', 'npm run test:costs'],
    ['L5', 'No input takes more than linear time', 'Every pattern and parser of the sources with adversarial text.', 'npm run test:patterns'],
    ['L7', 'What stays open takes nothing from others', 'Thousands of requests that wait and of idle sockets beside tokens that are issued: no place is taken, no token refused, memory for each is measured, and every one gets its message or answer in the end. Clients are in a process of their own; the sockets are not encrypted.', 'npm run test:held'],
    ['L6', 'A long run leaks nothing', 'Steady load with rotation, revocation and reconnects.', 'npm run test:soak'],
  ],
  'Secrets stay secret': [
    ['S1', 'No secret is in any log, answer, metric or file that others read', 'Canary secrets through every path at the most verbose level; all outputs are searched.', 'npm run test:secrets'],
    ['S2', 'A stolen store or backup without the key-encryption key yields no key', 'All files are searched for canary keys in every encoding.', 'npm run test:secrets'],
    ['S3', 'Sealed values cannot be moved', 'Every kind of sealed value is put in every other place.', 'npm run test:secrets'],
    ['S4', 'Log lines cannot be forged', 'Line breaks, terminal codes and bad UTF-8 in every field that a caller chooses.', 'npm run test:secrets'],
    ['K1', 'Keys are changed while the server runs, and a kill in the middle loses none', 'Key-encryption and data keys are replaced again and again; the process is killed at random moments.', 'npm run test:secrets'],
  ],
  'Operation': [
    ['O1', 'A stop loses nothing and cuts nobody off without an answer', 'Stops under load.', 'npm run test:stops'],
    ['O3', 'Changes of the schema can be interrupted and resumed, and the release before goes on with those that say so', 'Each migration is cut at its statements, stores of every age are gone on with, each older list of steps is held against the newest schema, and a server is started on what a newer release has changed.', 'npm test -- migrations'],
    ['O5', 'Expired tokens never come back to life', 'The clock of a running server jumps.', 'npm run test:clock'],
    ['O6', 'Health tells the truth', 'Each fault is switched on.', 'npm test -- status/health'],
    ['O7', 'A server that fails shut is seen to', 'Every counter of a refusal for safety is on the page of metrics before anything has gone wrong, and has an alarm suggested.', 'npm test -- failing-shut'],
    ['O8', 'A million identities are imported within a minute, and once', 'The command line imports a file of ids with custom ids and times, twice; then the directory is counted. Its memory stays the same, whatever the length. The time is by the clock on the wall, with whatever else the machine does; processor times stand beside it.', 'npm run test:import'],
  ],
  'Supply chain': [
    ['U1-U2', 'Few dependencies, exact versions, no install scripts', 'The lock file is held to rules.', 'npm test -- supply-chain'],
    ['SBOM', 'What the package brings is listed', 'The CycloneDX document is compared with the lock file.', 'npm test -- supply-chain'],
    ['U6', 'The tests notice small changes of the modules that matter', 'Mutation testing of token, signature, revocation, key and authorisation modules.', 'npm run test:mutation'],
  ],
};

export const PROMISES: readonly Promised[] = Object.entries(GROUPS).flatMap(([group, rows]) =>
  rows.map(([id, promise, how, command]) => ({ id, group, promise, how, command })),
);
