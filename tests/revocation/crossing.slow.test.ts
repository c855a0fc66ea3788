import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type IssueSnapshot, TokenStore } from '../../src/tokens/token-store.ts';
import { OPERATOR_KEY } from '../harness/dev-tokens.ts';
import { STORES } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { FOR_GOOD, type Subject } from '../harness/revocation/endings.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

/** 200 for a release. */
const ROUNDS = Number(process.env.TEST_CROSSING_ROUNDS ?? 12);
/** Requests for tokens before the end is asked for, and as many after it. */
const EACH = 4;
/** Turns of the event loop by which the end comes later, from round to round: it meets requests at every step. */
const MOST_TURNS = 12;

/** Asks for tokens while what permits them is ended. @returns how many were given, and how many work afterwards */
async function crossed({ issue, end }: Subject, server: TestServer, turns: number): Promise<[number, number]> {
  const several = () => Array.from({ length: EACH }, () => issue());
  const before = several();
  for (let passed = 0; passed < turns; passed += 1) await turn();
  const [status, ...answers] = await Promise.all([end(), ...before, ...several()]);
  assert.ok(Number(status) < 300, `ended: ${status}`);
  const tokens = answers.filter((token) => token !== undefined);
  const statuses = await Promise.all(tokens.map(async (token) => (await server.asUser(String(token))).status));
  return [tokens.length, statuses.filter((code) => code === 200).length];
}

for (const store of STORES) {
  describe(`tokens that are asked for while what permits them ends, on ${store},`, () => {
    let server: TestServer;
    shareServer(
      (started) => {
        server = started;
      },
      { store, env: { LINARITE_SIGNING_ALGORITHM: 'ES256', LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
    );

    const figures = { rounds: 0, tokens: 0, accepted: 0 };
    let planted = false;
    after(() => {
      const id = store === 'sqlite' ? 'R-crossing' : 'R-crossing-postgres';
      writeResult({ id, seed: 'none', figures, passed: figures.tokens > 0 && figures.accepted === 0, planted });
    });

    for (const [what, given] of Object.entries(FOR_GOOD))
      test(`are refused when both have been answered: ${what}`, async () => {
        for (let round = 0; round < ROUNDS; round += 1) {
          const [tokens, accepted] = await crossed(await given(server), server, round % MOST_TURNS);
          figures.rounds += 1;
          figures.tokens += tokens;
          figures.accepted += accepted;
          assert.equal(accepted, 0, `round ${round}: ${accepted} of ${tokens}`);
        }
      });

    test('are reported when they carry the position of their signature, not that of their snapshot', async (t) => {
      const { snapshot } = TokenStore.prototype;
      t.after(() => {
        TokenStore.prototype.snapshot = snapshot;
      });
      TokenStore.prototype.snapshot = async function (...of): Promise<IssueSnapshot> {
        const taken = await snapshot.apply(this, of);
        return Object.defineProperty({ ...taken }, 'seq', { get: () => server.server.revocations.position });
      };
      let found = 0;
      for (let round = 0; round < 20 * ROUNDS && found === 0; round += 1) {
        const [given] = Object.values(FOR_GOOD);
        assert.ok(given);
        [, found] = await crossed(await given(server), server, round % MOST_TURNS);
      }
      assert.ok(found > 0);
      planted = true;
    });
  });
}
