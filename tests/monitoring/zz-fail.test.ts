import { test } from 'node:test'; import { execFileSync } from 'node:child_process';
test('pg', async () => { const { default: P } = await import('pg'); const c = new P.Client({ connectionString: process.env['TEST_POSTGRES_URL'] }); await c.connect(); console.log((await c.query('select 1 as pg_answers')).rows); await c.end(); });
test('fails', () => { throw new Error('x'); });
