/** Finds the input chains of an nftables file, nft(8), with as much of its grammar as that takes. */
type Token = { readonly text: string; readonly start: number; readonly end: number };
type Statement = {
  readonly tokens: readonly Token[];
  readonly body: readonly Statement[] | undefined;
  readonly end: number;
};

export type InputChain = {
  readonly family: 'inet' | 'ip' | 'ip6';
  /** The name of its table. */
  readonly table: string;
  /** The chain drops or rejects by its policy or by its last rule. */
  readonly drops: boolean;
  /** The offset behind the statement with the hook: where the first rule may stand. */
  readonly rulesAt: number;
};

/** Blanks, continued line ends and comments fall away; a line end is a token, since it ends a statement. */
const tokenPattern = /(?:[ \t\r\f]|\\\r?\n|#[^\n]*)+|(\n|[{};]|"[^"\n]*"|[^\s{};"#\\]+)|./gs;

/** Throws SyntaxError at an open quote or a stray backslash. */
const tokensOf = (text: string): Token[] => {
  const tokens: Token[] = [];
  for (const found of text.matchAll(tokenPattern)) {
    const [whole, token] = found;
    if (token !== undefined) tokens.push({ text: token, start: found.index, end: found.index + token.length });
    else if (/^["\\]$/.test(whole)) throw new SyntaxError('a quote is not closed');
  }
  return tokens;
};

/** Braces that hold statements. All others (sets, maps, lists of ports) belong to the statement they stand in. */
const isBlock = (tokens: readonly Token[], depth: number): boolean => {
  const words = tokens.map((token) => token.text).filter((word) => word !== 'add' && word !== 'create');
  return depth === 0 ? words[0] === 'table' || words[0] === 'chain' : depth === 1 && words[0] === 'chain';
};

type Reader = { readonly tokens: readonly Token[]; at: number };

/** Reads past a set in braces; its tokens stay in the statement. */
const readSet = (reader: Reader): Token[] => {
  const taken: Token[] = [];
  let open = 0;
  do {
    const token = reader.tokens[reader.at++];
    if (!token) throw new SyntaxError('a brace is not closed');
    if (token.text === '{') open += 1;
    if (token.text === '}') open -= 1;
    if (token.text !== '\n') taken.push(token);
  } while (open > 0);
  return taken;
};

/** Reads statements to the brace that closes them, or to the end of the file. Throws SyntaxError. */
const readStatements = (reader: Reader, depth: number): Statement[] => {
  const statements: Statement[] = [];
  let tokens: Token[] = [];
  const finish = (end: number, body?: Statement[]) => {
    if (tokens.length > 0) statements.push({ tokens, body, end });
    tokens = [];
  };
  for (;;) {
    const token = reader.tokens[reader.at];
    if (!token) {
      if (depth > 0) throw new SyntaxError('a brace is not closed');
      finish(tokens.at(-1)?.end ?? 0);
      return statements;
    }
    if (token.text === '{' && !isBlock(tokens, depth)) {
      tokens.push(...readSet(reader));
      continue;
    }
    reader.at += 1;
    if (token.text === '{') finish(token.end, readStatements(reader, depth + 1));
    else if (token.text === '}') {
      if (depth === 0) throw new SyntaxError('a brace is closed that was not opened');
      finish(token.start);
      return statements;
    } else if (token.text === ';' || token.text === '\n') finish(token.text === ';' ? token.end : token.start);
    else tokens.push(token);
  }
};

const wordsIn = (statement: Statement): string[] => statement.tokens.map((token) => token.text);

const unconditionalDrop =
  /^((counter( packets \d+ bytes \d+)?|log( (prefix "[^"]*"|level \w+|flags [\w, ]+|group \d+))*) )*(drop|reject( with .*)?)( comment "[^"]*")?$/;

const readChain = (family: InputChain['family'], table: string, body: readonly Statement[]): InputChain | undefined => {
  const hook = body.find((statement) => / hook input( |$)/.test(wordsIn(statement).join(' ')));
  if (!hook) return undefined;
  const words = body.map((statement) => wordsIn(statement));
  const policy = words.find((word) => word[0] === 'policy')?.[1];
  const lastRule = words.at(-1)?.join(' ') ?? '';
  return { family, table, drops: policy === 'drop' || unconditionalDrop.test(lastRule), rulesAt: hook.end };
};

/** A table without a family is of the family ip; bridge, arp and netdev see no ports of ours. */
const familyOf = (words: readonly string[]): InputChain['family'] | undefined => {
  const [family] = words.length > 1 ? words : ['ip'];
  return family === 'inet' || family === 'ip' || family === 'ip6' ? family : undefined;
};

/** The input chains in the order of the file. Throws SyntaxError for what can not be read as nftables. */
export const readInputChains = (text: string): InputChain[] => {
  const top = readStatements({ tokens: tokensOf(text), at: 0 }, 0);
  return top.flatMap((statement) => {
    const [kind, ...rest] = wordsIn(statement).filter((word) => word !== 'add' && word !== 'create');
    if (kind === 'chain' && / hook input /.test(text)) {
      throw new SyntaxError('an input chain stands outside of its table');
    }
    const family = familyOf(rest);
    if (kind !== 'table' || !family || !statement.body) return [];
    return statement.body.flatMap((chain) =>
      chain.body ? (readChain(family, rest.at(-1) ?? '', chain.body) ?? []) : [],
    );
  });
};
