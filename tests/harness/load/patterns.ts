/** A regular expression as it stands in a source file. */
export interface Pattern {
  readonly path: string;
  readonly line: number;
  readonly source: string;
  readonly flags: string;
}

const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*|[\w$]+|=>|[\s\S]/y;
/** The rest of a template: up to its end, or to an expression inside. */
const TEMPLATE = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{)/y;
/** A slash behind one of these begins a pattern, behind anything else it divides. */
const BEFORE_PATTERN = /^(?:[(,=:[!&|?{};+\-*%<>~^]|return|typeof|case|of|in|=>)?$/;

/** Every regular expression literal in a source. */
export function patternsIn(path: string, text: string): Pattern[] {
  const found: Pattern[] = [];
  /** Braces open in each template expression that is open, and in the source itself. */
  const depths = [0];
  let before = '';
  let at = 0;
  const take = (token: RegExp): RegExpExecArray => {
    token.lastIndex = at;
    const match = token.exec(text);
    if (!match) throw new Error(`${path} cannot be read at ${at}`);
    at += match[0].length;
    return match;
  };
  const template = (): void => {
    const isExpression = take(TEMPLATE)[1] !== '`';
    if (isExpression) depths.push(0);
    before = isExpression ? '{' : '`';
  };
  while (at < text.length) {
    const start = at;
    const [token] = take(TOKEN);
    const depth = depths.length - 1;
    if (/^(?:\s|\/\/|\/\*)/.test(token)) continue;
    if (token === '`') template();
    else if (token === '}' && depth > 0 && depths[depth] === 0) {
      depths.pop();
      template();
    } else if (token.length > 1 && token.startsWith('/') && !BEFORE_PATTERN.test(before)) {
      at = start + 1;
      before = '/';
    } else {
      if (token === '{') depths[depth] = (depths[depth] ?? 0) + 1;
      if (token === '}') depths[depth] = (depths[depth] ?? 0) - 1;
      if (token.length > 1 && token.startsWith('/')) {
        const end = token.lastIndexOf('/');
        const line = text.slice(0, start).split('\n').length;
        found.push({ path, line, source: token.slice(1, end), flags: token.slice(end + 1) });
      }
      before = token;
    }
  }
  return found;
}

/** Only what repeats without end can take long: everything else is over after a number of steps that the pattern names. */
export const isEndless = ({ source }: Pick<Pattern, 'source'>): boolean => /[*+]|\{\d+,\}/.test(source);

/** Code that reads a text. */
export type TextConsumer = (text: string) => unknown;

/** Matching, searching and replacing all start anew at every position, so one of them shows what all would cost. */
export const consumerOf = ({ source, flags }: Pick<Pattern, 'source' | 'flags'>): TextConsumer => {
  const pattern = new RegExp(source, [...new Set(`${flags}g`)].join('').replace('y', ''));
  return (text) => text.replace(pattern, '');
};

export interface Attack {
  readonly before: string;
  readonly piece: string;
  readonly behind: string;
}

/** What stands for a class of characters in a text that is to fit. */
const REPRESENTATIVES = [
  'a',
  '0',
  ' ',
  ...Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)),
  '\u2028',
];
const ATOM = /\[(?:[^\]\\]|\\.)*\]|\\[pPu]\{[^}]*\}|\\x[\da-f]{2}|\\u[\da-f]{4}|\\.|[\s\S]/iy;
const QUANTIFIER = /(?:([*+?])|\{(\d+)(,?)(\d*)\})?\??/y;

/**
 * Texts that fit a pattern up to each place where it repeats without end: what an attack on that place has to begin with.
 * Of alternatives each is followed by itself, and what comes behind them follows the first.
 */
export function prefixesOf(source: string, flags = ''): string[] {
  const found = new Set<string>();
  let at = 0;
  const take = (token: RegExp): RegExpExecArray => {
    token.lastIndex = at;
    const match = token.exec(source) as RegExpExecArray;
    at += match[0].length;
    return match;
  };
  const oneOf = (atom: string): string => {
    if (/^(?:[\^$]|\\[bB])$/.test(atom)) return '';
    const whole = new RegExp(`^${atom}$`, flags.replace(/[gy]/g, ''));
    return REPRESENTATIVES.find((text) => whole.test(text)) ?? '';
  };
  /** @returns what one pass through the rest of a group adds to the text before it */
  const group = (before: string): string => {
    let text = before;
    let first: string | undefined;
    while (at < source.length) {
      if (source[at] === ')') break;
      if (source[at] === '|') {
        first ??= text;
        text = before;
        at += 1;
        continue;
      }
      let piece: string;
      if (source[at] === '(') {
        const [opening] = take(/\((?:\?(?:[:=!]|<[=!]|<\w+>))?/y);
        const inside = group(text);
        at += 1;
        piece = /[=!]$/.test(opening) ? '' : inside;
      } else piece = oneOf(take(ATOM)[0]);
      const [, sign, least = sign === '+' || !sign ? '1' : '0', comma, most] = take(QUANTIFIER);
      if (sign === '*' || sign === '+' || (comma && !most)) found.add(text);
      text += piece.repeat(Number(least));
    }
    return (first ?? text).slice(before.length);
  };
  group('');
  return [...found];
}

/**
 * What to repeat, and what to put before and behind it, so that something nearly fits for a long way and then does not:
 * the characters and the fixed pieces of the pattern itself, alone and in pairs.
 * @param thorough with more pairs and ends
 * @param prefixes what to put before it, too
 */
export function attacksOn(source: string, thorough = false, prefixes: readonly string[] = []): Attack[] {
  const plain = source.replace(/\\[dDwWsSbB]|\\p\{\w+\}|\(\?<?[:=!]|[()[\]{}|*+?^$]/g, '\n').replace(/\\(.)/g, '$1');
  const pieces = plain.split('\n').filter(Boolean);
  const letters = [...new Set([...pieces.join(''), ...'a0 :/'])];
  const pairs = letters.slice(0, thorough ? 12 : 4).flatMap((one) => ['a', '0', ' '].map((other) => one + other));
  const starts = [...new Set(['', pieces[0] ?? '', ...prefixes])];
  const ends = thorough ? ['', '!', '\n', '\u0000'] : ['!'];
  return [...new Set([...letters.slice(0, thorough ? 100 : 12), ...pieces, ...pairs])].flatMap((piece) =>
    starts.flatMap((before) => ends.map((behind) => ({ before, piece, behind }))),
  );
}

export const LONGEST = 64 * 1024;
/** The same amount of text, in so many pieces. */
const PIECES = 16;
/** Below this nothing is worth a second look. */
const WORTH_A_LOOK_MS = 5;
/** A long text against as many short ones: 1 for what is linear, 16 for what is quadratic. */
const GROWTH_MOST = 8;

/**
 * Whether what a consumer costs grows faster than its text, judged by how one text of 64 KiB compares with sixteen of 4 KiB.
 * @returns the attack that shows it, or undefined
 */
export function superLinear(consume: TextConsumer, attacks: readonly Attack[], longest = LONGEST): string | undefined {
  for (const attack of attacks) {
    const { before, piece, behind } = attack;
    const text = (size: number): string => before + piece.repeat(Math.ceil(size / piece.length)) + behind;
    // Small ones first: what is exponential would not come back from a large one.
    for (const size of [16, 20, 24, 28, 32]) if (fastest(consume, text(size), 3) > 200) return JSON.stringify(attack);
    const long = text(longest);
    if (fastest(consume, long, 1) < WORTH_A_LOOK_MS) continue;
    const short = text(longest / PIECES);
    const consumeShort = (): void => {
      for (let left = PIECES; left > 0; left -= 1) attempt(consume, short);
    };
    const ratio = fastest(consume, long, 5) / fastest(consumeShort, '', 5);
    if (fastest(consume, long, 1) > WORTH_A_LOOK_MS && ratio > GROWTH_MOST) return JSON.stringify(attack);
  }
  return undefined;
}

/** The least of several tries: what the machine did beside makes a try longer, never shorter. */
export function fastest(consume: TextConsumer, text: string, tries: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let left = tries; left > 0 && !(least > 300 && left < tries - 1); left -= 1) {
    const started = performance.now();
    attempt(consume, text);
    least = Math.min(least, performance.now() - started);
  }
  return least;
}

/** A refusal is an answer. */
function attempt(consume: TextConsumer, text: string): void {
  try {
    consume(text);
  } catch {}
}
