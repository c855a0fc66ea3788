import { Argument, type Command, type Option } from 'commander';
import { addCommand } from './command.ts';

/** Adds `linarite completion`. The scripts are written from the tree of commands, so they never lag behind it. */
export function addCompletionCommand(program: Command): void {
  addCommand(
    program,
    'completion',
    'print a completion script for a shell',
    'source <(linarite completion bash)',
    'linarite completion zsh > "$fpath[1]/_linarite"',
    'linarite completion fish > ~/.config/fish/completions/linarite.fish',
  )
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .action((shell: string) => {
      process.stdout.write(SCRIPTS[shell]?.(pointsOf(program)) ?? '');
    });
}

/** One command of the tree, as completion needs it. */
interface Point {
  /** ` identity token issue`, with a blank before each word; empty for the program itself. */
  readonly at: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly Completable[];
  /** What may stand as an argument. */
  readonly values: readonly string[];
  readonly takesFile: boolean;
}

interface Completable {
  readonly flags: readonly string[];
  readonly summary: string;
  readonly takesValue: boolean;
  readonly takesSeveral: boolean;
  readonly values: readonly string[];
  readonly takesFile: boolean;
}

function pointsOf(command: Command, at = ''): Point[] {
  const help = command.createHelp();
  const point: Point = {
    at,
    commands: command.commands.map((child) => ({ name: child.name(), summary: child.summary() })),
    options: help.visibleOptions(command).map(completable),
    values: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
    takesFile: command.registeredArguments.some((argument) => argument.name() === 'file'),
  };
  return [point, ...command.commands.flatMap((child) => pointsOf(child, `${at} ${child.name()}`))];
}

const completable = (option: Option): Completable => ({
  flags: [option.long, option.short].filter((flag) => flag !== undefined && flag !== null),
  summary: option.description.split(' (default')[0] ?? '',
  takesValue: option.required || option.optional,
  takesSeveral: option.variadic,
  values: option.argChoices ?? [],
  takesFile: option.flags.includes('<file>'),
});

// The words of all scripts are names and choices of our own: letters, digits, hyphens and dots, so nothing needs quoting
// but the summaries in fish.

const longFlags = (options: readonly Completable[]): string[] => options.flatMap(({ flags }) => flags.slice(0, 1));

/** Walks the words before the cursor down the tree: the same few lines in bash and zsh. */
const walk = (points: readonly Point[]): string =>
  points
    .slice(1)
    .map(({ at }) => `"${at}"`)
    .join('|');

/** Cases for an option whose value stands at the cursor. */
const valueCases = (points: readonly Point[], values: (words: readonly string[]) => string, files: string): string =>
  points
    .flatMap(({ at, options }) =>
      options
        .filter((option) => option.takesValue)
        .map((option) => {
          const patterns = option.flags.map((flag) => `"${at} ${flag}"`).join('|');
          const offer = option.takesFile ? files : option.values.length > 0 ? values(option.values) : ':';
          return `    ${patterns}) ${offer}; return ;;`;
        }),
    )
    .join('\n');

/** Cases for everything else: sub-commands, arguments, options. */
const wordCases = (points: readonly Point[]): string =>
  points
    .map(({ at, commands, options, values }) => {
      const words = [...commands.map(({ name }) => name), ...values, ...longFlags(options)];
      return `    "${at}") offered="${words.join(' ')}" ;;`;
    })
    .join('\n');

/** Options that take several values offer them again after the first. */
const severalCases = (points: readonly Point[]): string =>
  points
    .flatMap(({ at, options }) =>
      options
        .filter((option) => option.takesSeveral)
        .map(({ flags, values }) => `    "${at} ${flags[0]}") offered="$offered ${values.join(' ')}" ;;`),
    )
    .join('\n');

const filePoints = (points: readonly Point[]): string =>
  points
    .filter(({ takesFile }) => takesFile)
    .map(({ at }) => `"${at}"`)
    .join('|');

const SCRIPTS: Readonly<Record<string, (points: readonly Point[]) => string>> = {
  bash: (points) => `# bash completion of linarite
_linarite() {
  local cur prev at="" last="" offered="" index
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$at \${COMP_WORDS[index]}" in
    ${walk(points)}) at="$at \${COMP_WORDS[index]}" ;;
    *) case "\${COMP_WORDS[index]}" in -*) last="\${COMP_WORDS[index]}" ;; esac ;;
    esac
  done
  case "$at $prev" in
${valueCases(points, (words) => `COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$cur"))`, 'COMPREPLY=($(compgen -f -- "$cur"))')}
  esac
  case "$at" in
${wordCases(points)}
  esac
  case "$at $last" in
${severalCases(points)}
  esac
  COMPREPLY=($(compgen -W "$offered" -- "$cur"))
  case "$at" in
    ${filePoints(points)}) COMPREPLY+=($(compgen -f -- "$cur")) ;;
  esac
}
complete -o filenames -F _linarite linarite
`,

  zsh: (points) => `#compdef linarite
# zsh completion of linarite
_linarite() {
  local prev at="" last="" offered="" index
  prev="\${words[CURRENT-1]}"
  for ((index = 2; index < CURRENT; index++)); do
    case "$at \${words[index]}" in
    ${walk(points)}) at="$at \${words[index]}" ;;
    *) case "\${words[index]}" in -*) last="\${words[index]}" ;; esac ;;
    esac
  done
  case "$at $prev" in
${valueCases(points, (words) => `compadd -- ${words.join(' ')}`, '_files')}
  esac
  case "$at" in
${wordCases(points)}
  esac
  case "$at $last" in
${severalCases(points)}
  esac
  compadd -- \${=offered}
  case "$at" in
    ${filePoints(points)}) _files ;;
  esac
}
if [ "$funcstack[1]" = "_linarite" ]; then _linarite "$@"; else compdef _linarite linarite; fi
`,

  fish: (points) =>
    [
      '# fish completion of linarite',
      `function __linarite_at
  set -l at ""
  for word in (commandline -opc)[2..-1]
    switch "$at $word"
      case ${points
        .slice(1)
        .map(({ at }) => `"${at}"`)
        .join(' ')}
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end`,
      'complete -c linarite -f',
      ...points.flatMap(fishLines),
      '',
    ].join('\n'),
};

function fishLines({ at, commands, options, values, takesFile }: Point): string[] {
  const begin = `complete -c linarite -n '__linarite_at "${at}"'`;
  const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
  return [
    ...commands.map(({ name, summary }) => `${begin} -a ${name} -d ${quoted(summary)}`),
    ...(values.length > 0 ? [`${begin} -a '${values.join(' ')}'`] : []),
    ...(takesFile ? [`${begin} -F`] : []),
    ...options.map(({ flags, summary, takesValue, values, takesFile }) => {
      const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const value = takesFile ? ' -r -F' : takesValue ? ' -x' : '';
      const choices = values.length > 0 ? ` -a '${values.join(' ')}'` : '';
      return `${begin} ${names.join(' ')}${value}${choices} -d ${quoted(summary)}`;
    }),
  ];
}
