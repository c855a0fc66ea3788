/** A reporter that ends the process at the first failure: nothing that comes later can change the verdict. */
export default async function* firstFailure(events: AsyncIterable<{ type: string }>): AsyncGenerator<string> {
  for await (const { type } of events) if (type === 'test:fail') process.exit(1);
  yield '';
}
