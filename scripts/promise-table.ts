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
    ['D1', 'After a kill at any instant, nothing confirmed is lost, and no deletion or revocation is undone', 'Eight writers create, issue, revoke and delete. The harness kills the process with `kill -9` at a random moment and starts it again. Then it checks every confirmed operation.', 'npm run harness -- crash'],
    ['D2', 'The sync to disk comes before the answer', 'The server runs under a system-call trace. For every confirmed write, a completed sync of the log file lies between the last write of its commit and the answer.', 'npm run harness -- sync-order'],
    ['D3', 'A power cut loses nothing that was confirmed', 'From the trace, the harness rebuilds the files as a power cut can leave them: everything before the last completed sync, and any subset, order and partial write of what came after it. It starts a server on each.', 'npm run harness -- power-cut'],
    ['D4', 'A full or failing disk never damages the store, and never causes a false confirmation', 'A small file system is filled and freed, writes fail, and syncs fail. Writes are answered 503 with Retry-After, token checks continue, and writes work again by themselves. After a failed sync the process ends, and the next one starts from the disk.', 'npm run harness -- disk-full'],
    ['D5', 'When the database is killed, nothing confirmed is lost', 'PostgreSQL is killed under load and started again. A commit whose answer was lost is reported as unknown, never as done or refused.', 'npm run harness -- pg'],
    ['D6', 'The server notices a damaged store and does not serve it', 'Bytes of a copy are changed at random. Either the server refuses to start, or nothing in a checked table is wrong. The server checks the structure of all pages, every entry of the revocation log, the signing keys and every encrypted value. It does not check names and times of identities.', 'npm run harness -- damage'],
    ['O4', 'After a restore, a revoked user stays revoked', 'Backups are made under load, restored elsewhere and compared. Every token from before is tried.', 'npm run harness -- backup'],
  ],
  'Revocation works when the call returns': [
    ['R1', 'The next request with a revoked token is refused, and a token issued afterwards is accepted', 'Several clients repeat: issue, use, revoke, use, issue again, use. They use kept connections and new ones.', 'npm run harness -- revocation'],
    ['R2', 'After the call has returned, no request that begins is accepted. Before the call was sent, no request that ended was refused', 'A hundred readers use tokens without a pause. Meanwhile others revoke these tokens and have new ones issued. Each use is judged by its interval. This runs on one node.', 'npm run harness -- revocation'],
    ['R6', 'Every event that ends tokens has the same force, in any order', 'All pairs of the nine kinds of events, and random sequences, run over HTTP and are compared with a model. The kinds are: identity, deletion, instant, access key, resource, trust, assignment, signing key, everything.', 'npm run harness -- revocation'],
    ['R-model', 'No fault of network, database or clock makes a node accept a revoked token', 'A randomised model of three nodes drives the real modules. It has partitions, pauses, slow and lost messages, clock jumps, restarts and a fenced primary. When any one rule is removed, the model reports it.', 'npm run harness -- revocation'],
    ['R-repeat', 'A repeated call says that an earlier call did the work only when the change holds on every node', 'One of two servers on PostgreSQL is stopped with SIGSTOP. Each call that ends tokens is sent to the other server, and sent again 60 ms later. The same is done for access keys that are switched off and for grants that are removed, also with a single call. When the last call is answered, the stopped server continues, and is asked.', 'npm test -- revocation/repeated'],
    ['R5', 'A restart keeps every revocation, and the server answers nothing before it has loaded the log', 'The log of a server has a million events of all nine kinds; a quarter of them are bounds and assignments. The server is killed and started. From its first moment it is asked with tokens from before. The goal is 5 s of the server’s processor time for a million events. The time until it is ready is wall-clock time, with whatever else the machine does.', 'npm run harness -- start'],
    ['R-crossing', 'When a token is requested while what permits it ends, the token is refused after both calls are answered', 'Requests for tokens meet, at every step, the deletion of their identity or resource, the regeneration of their key, and the end of their trust or assignment.', 'npm run harness -- revocation'],
    ['R-cut', 'An operation that ends tokens is done as a whole or not at all', 'The store fails at each statement of every such operation. When it is not done, everything is as before. When it is repeated, all of it is done.', 'npm test -- revocation/cut'],
    ['R-late', 'When a key or trust is withdrawn, requests that have not sent their bodies yet are refused too', 'A client sends the headers. The key or trust that proved the request is withdrawn. Then the client sends the body.', 'npm test -- ended-meanwhile'],
    ['R8', 'Memory is bounded, however many revocations there are', 'Ten million events of all nine kinds are loaded, with and without the limit. Most are about identities. A tenth are bounds on the instant of issue, and a tenth are ended assignments. One identity has its bound raised again and again. The verdicts do not change.', 'npm run harness -- revocations'],
    ['R10', 'Five thousand revocations a second, one in each call', 'Many clients each revoke one identity after the other. Beside them, tokens are judged right after their revocation. Calls share transactions. Rates are by wall-clock time, with whatever else the machine does.', 'npm run harness -- revoking'],
    ['R9', 'Revocation does not depend on clocks', 'The clock of a running server jumps by hours and days in both directions.', 'npm run harness -- clock'],
  ],
  'Tokens and signatures cannot be forged': [
    ['T1', 'Published attack vectors for JSON Web Signatures are refused', 'Wycheproof: every vector for JWS, JWK and JWT, and those for the algorithms below them.', 'npm run harness -- tokens'],
    ['T2', 'Forgeries are refused, all with the same answer and quickly', 'A generator makes the published attacks on JWT, and changes a valid token by one character.', 'npm run harness -- tokens'],
    ['T3', 'Claims are read with exact types, and claims that contradict each other are not accepted', 'Valid sets of claims are changed at random and signed with the right key.', 'npm run harness -- tokens'],
    ['T4', 'Each kind of credential opens its own routes and no others', 'All combinations of credentials and routes are tried, in both modes.', 'npm run harness -- tokens'],
    ['T5', 'Each scope permits what the published table says', 'Every cell of the table is tried over HTTP.', 'npm run harness -- tokens'],
    ['T6', 'Signing keys rotate, and no token is refused because of it', 'Keys are rotated under load on several nodes.', 'npm run harness -- tokens'],
    ['T7', 'A signing key can be withdrawn at once', 'Keys are withdrawn under load on several nodes.', 'npm run harness -- tokens'],
    ['H1', 'A signed request is accepted only within its window, exact to the second', 'A table has the limits of the window, and other forms of dates.', 'npm run harness -- signatures'],
    ['H2', 'A captured request can only be repeated unchanged', 'Equal requests are sent within one second, and changed copies.', 'npm run harness -- signatures'],
    ['H3', 'The signature covers method, path, query, date, host and body', 'Every class of bytes of a valid request is changed.', 'npm run harness -- signatures'],
    ['H4', 'A comparison of signatures takes the same time, wherever they differ', 'Welch’s t-test compares a difference in the first byte with one in the last. Below 4.5 no difference is seen.', 'npm run harness -- signatures'],
    ['H5', 'Official SDKs work unchanged', 'The JavaScript SDK runs in its oldest and newest releases, through a proxy, and over IPv6 with a port. For Python and Java, operation by operation, see the conformance table.', 'npm test -- sdk/javascript'],
  ],
  'Every request gets a clear answer': [
    ['A1', 'No malformed request gets a 5xx, a hang, or an answer without the error envelope', 'A generator reads the server’s own OpenAPI document: every operation, parameter, content type and credential.', 'npm run harness -- fuzz'],
    ['A2', 'The same holds for raw bytes', 'Hand-written framing cases and changed valid requests are sent over raw sockets.', 'npm run harness -- framing'],
    ['A3', 'Answers tell clients correctly whether to try again', 'Each status is checked together with the headers that must come with it.', 'npm test -- retry-answers'],
    ['A4', 'Sequences of operations are safe, also in parallel', 'Random sequences of operations are compared with a simple model.', 'npm run harness -- model'],
  ],
  'Load is refused early, and fairly': [
    ['L1', 'Overload is refused early and does not build up', 'The load is four times the measured capacity. Queues are bounded, refusals are 503 or 429 with Retry-After, nothing confirmed is lost, revocations are done, and the server recovers without a restart. The waiting time of served requests is compared with that at 80 % of the capacity, in windows that alternate. A separate process takes the times. The limit is judged only when other work had less than a tenth of the machine.', 'npm run harness -- overload'],
    ['L2', 'Slow clients cannot occupy the server', 'Thousands of clients send headers slowly, send bodies slowly, or read slowly. The server closes each of them, and serves others.', 'npm run harness -- slow'],
    ['L3', 'Big bodies do not harm the server', 'Clients send concurrent uploads, signed and unsigned, compressed bombs and deep JSON.', 'npm run harness -- bodies'],
    ['L4', 'One resource cannot starve another', 'One resource sends far more than its share. Beside it a quiet resource is never refused. The waiting time of the quiet one beside ten times the quota is compared with its waiting time alone, in windows that alternate. It is judged like L1.', 'npm run harness -- fairness'],
    ['L4-costs', 'Requests that cost hundreds of times as much as others do not starve others either', 'One resource makes and removes 500 assignments with each request, over 8 and over 100 connections, without a pause. Beside it the times of another resource’s revocations, and of health, are compared with their times alone, in windows that alternate. Limits for the 99th percentiles: revocations at most twice as long and 50 ms, health 100 ms. It is judged like L1.', 'npm run harness -- costs'],
    ['L5', 'No input takes more than linear time', 'Every pattern and parser of the sources gets hostile text.', 'npm run harness -- patterns'],
    ['L7', 'What stays open takes nothing from others', 'Thousands of requests wait and thousands of sockets are idle, beside tokens that are issued. No place is taken and no token is refused; the memory for each is measured, and each gets its message or answer in the end. The clients are in another process, and the sockets are not encrypted.', 'npm run harness -- held'],
    ['L6', 'A long run leaks nothing', 'Steady load with rotation, revocation and reconnects.', 'npm run harness -- soak'],
  ],
  'What was committed reaches every node': [
    ['F1', 'Every session gets every fact of its stream once and in order, whatever happens to the hints', 'Three nodes write 100,000 facts of a made-up plane, while hints are dropped, doubled, delayed and invented; sessions join in the middle, and some are slow. Then the carrier is stopped for a minute: facts are at most as late as the sweep, which comes every two seconds. On one process with SQLite, and on PostgreSQL with LISTEN and NOTIFY, where the listening connections are ended all the time.', 'npm run harness -- facts'],
    ['F1-nats', 'The same with hints by NATS', 'As F1 on PostgreSQL; to stop the carrier, the NATS server is killed.', 'npm run harness -- facts'],
    ['F2', 'A follower passes over no fact, also of transactions that commit late', 'Two nodes on PostgreSQL write in transactions that wait at random before they commit. A follower reads meanwhile; it fails now and then, and nodes stop and start.', 'npm run harness -- facts'],
  ],
  'Secrets stay secret': [
    ['S1', 'No secret is in any log, answer, metric or file that others can read', 'Canary secrets go through every code path at the most verbose level. All outputs are searched.', 'npm run harness -- secrets'],
    ['S2', 'A stolen store or backup without the key-encryption key reveals no key', 'All files are searched for canary keys in every encoding.', 'npm run harness -- secrets'],
    ['S3', 'An encrypted value cannot be moved to another place in the store', 'Every kind of encrypted value is put in every other place.', 'npm run harness -- secrets'],
    ['S4', 'Log lines cannot be forged', 'Line breaks, terminal codes and bad UTF-8 are put in every field that a caller chooses.', 'npm run harness -- secrets'],
    ['K1', 'Keys are changed while the server runs, and a kill during a change loses none', 'Key-encryption keys and data keys are replaced again and again. The process is killed at random moments.', 'npm run harness -- secrets'],
  ],
  'Operation': [
    ['O1', 'A stop loses nothing, and leaves no request without an answer', 'The server is stopped under load.', 'npm run harness -- stops'],
    ['O3', 'Changes of the schema can be interrupted and resumed, and the former release works on the store after a step marked as compatible', 'Each migration is interrupted at its statements. Stores of every age are upgraded. Each older list of steps is compared with the newest schema. A server is started on a store that a newer release has changed.', 'npm test -- migrations'],
    ['O5', 'Expired tokens are never accepted again', 'The clock of a running server jumps.', 'npm run harness -- clock'],
    ['O6', 'Health tells the truth', 'Each fault is switched on.', 'npm test -- status/health'],
    ['O7', 'Refusals for safety are visible', 'Every counter of a refusal for safety is on the page of metrics before anything has gone wrong, and has a suggested alarm.', 'npm test -- failing-shut'],
    ['O8', 'A million identities are imported within a minute, each once', 'The command line imports a file of ids with custom ids and times, twice. Then the identities are counted. The memory of the command stays the same for any length. The time is wall-clock time, with whatever else the machine does; processor times are next to it.', 'npm run harness -- import'],
  ],
  'Supply chain': [
    ['U1-U2', 'Few dependencies, exact versions, no install scripts', 'Rules check the lock file.', 'npm test -- supply-chain'],
    ['SBOM', 'All parts of the package are listed', 'The CycloneDX document is compared with the lock file.', 'npm test -- supply-chain'],
    ['U6', 'The tests notice small changes of the modules that matter', 'Mutation testing of token, signature, revocation, key and authorisation modules.', 'npm run harness -- mutation'],
  ],
};

export const PROMISES: readonly Promised[] = Object.entries(GROUPS).flatMap(([group, rows]) =>
  rows.map(([id, promise, how, command]) => ({ id, group, promise, how, command })),
);
