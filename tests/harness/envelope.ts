import assert from 'node:assert/strict';
import type { Answer } from './http.ts';

interface Expected {
  status: number;
  code: string;
  message?: string;
  target?: string | undefined;
}

/** Insists on the error envelope of identity-protocol, section 4, member by member. */
export function assertError({ status, headers, body, text }: Answer, expected: Expected, about?: string): void {
  const { error } = body ?? {};
  assert.deepEqual(
    { status, code: error?.code, target: error?.target, message: expected.message && error?.message },
    { status: expected.status, code: expected.code, target: expected.target, message: expected.message },
    `${about ?? 'the answer'}: ${status} ${text}`,
  );
  assert.deepEqual(Object.keys(body), ['error']);
  assert.equal(typeof error.message, 'string');
  assert.equal(headers['content-type'], 'application/json');
}
