/** Module → test files, the quickest first: the first that fails ends the attempt. */
// biome-ignore format: a table
export const MODULES: Readonly<Record<string, readonly string[]>> = {
  'src/lib/bytes.ts':                   ['lib/bytes'],
  'src/capabilities/capabilities.ts':   ['tables/capabilities'],
  'src/capabilities/tables.ts':         ['tables/capabilities'],
  'src/secrets/envelope.ts':            ['secrets/envelope'],
  'src/secrets/key-ring.ts':            ['secrets/key-rotation', 'secrets/key-ring'],
  'src/secrets/kek.ts':                 ['secrets/kek', 'secrets/kek-time-limit'],
  'src/tokens/jws.ts':                  ['tokens/wycheproof', 'tokens/jws'],
  'src/tokens/claims.ts':               ['tokens/claims'],
  'src/tokens/token.ts':                ['tokens/token', 'tokens/issue'],
  'src/tokens/access-tokens.ts':        ['tokens/access-tokens'],
  'src/http/hmac.ts':                   ['http/signature-verifier', 'http/key-search.slow'],
  'src/http/authentication.ts':        ['http/pipeline'],
  'src/http/pipeline.ts':               ['http/pipeline'],
  'src/trusts/trust.ts':                ['trusts/definitions'],
  'src/trusts/foreign-token.ts':        ['trusts/foreign-claims'],
  'src/trusts/principals.ts':           ['trusts/principals'],
  'src/resources/resource.ts':          ['resources/resource', 'resources/resources'],
  'src/revocation/event.ts':            ['revocation/verdicts'],
  'src/revocation/bounds.ts':           ['revocation/bounds'],
  'src/revocation/position-table.ts':   ['revocation/position-table'],
  'src/revocation/revocation-state.ts': ['revocation/verdicts', 'revocation/bounds'],
};

/** The random suites small and always the same: a score that depends on chance is none. */
export const SIZES: Readonly<Record<string, string>> = {
  TEST_SEED: '1',
  TEST_REVOCATION_SEED: '1',
  TEST_MODEL_SEED: '1',
  TEST_FORGERIES: '400',
  TEST_CLAIMS: '400',
  TEST_SIGNATURE_MUTATIONS: '200',
  TEST_MODEL_SCHEDULES: '3',
  TEST_POSITIONS: '3000',
  TEST_REVOCATION_SEQUENCES: '5',
};
