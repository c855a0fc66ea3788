/** Every api-version of `Microsoft.Communication` in ARM, oldest first (management-cli-connector, section 1). */
export const MANAGEMENT_VERSIONS = [
  '2020-08-20-preview',
  '2020-08-20',
  '2021-10-01-preview',
  '2022-07-01-preview',
  '2023-03-01-preview',
  '2023-03-31',
  '2023-04-01-preview',
  '2023-04-01',
  '2023-06-01-preview',
  '2024-09-01-preview',
  '2025-05-01-preview',
  '2025-05-01',
  '2025-09-01',
  '2026-03-18',
] as const;
