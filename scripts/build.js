// Bundles src/ into dist/: one small entry, and the doors that it opens, with chunks that are loaded when they need them.
// Doors that are bundled together share chunks, and the more of them do, the more and smaller these are: each costs about
// a millisecond at start. So those that another server waits for are bundled apart from the command line.
// node scripts/build.js [FOLDER [PROTOCOL]]: elsewhere, or (for tests of an upgrade) with another protocol number.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { parse } from 'yaml';

const [folder = 'dist', protocol] = process.argv.slice(2);

rmSync(folder, { recursive: true, force: true });
const doors = [['main', 'wanted-door'], ['peer-door', 'agent-door'], ['pipe-door']];
const options = {
  outdir: folder,
  define: protocol === undefined ? {} : { CMSADM_PROTOCOL: protocol },
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  minifySyntax: true,
  minifyWhitespace: true,
  // A stack trace then shows a line, not the whole file.
  lineLimit: 160,
  legalComments: 'none',
  logLevel: 'warning',
  // ssh2's optional native parts: left out, so that every build is the same and runs everywhere.
  external: ['cpu-features', './crypto/build/Release/sshcrypto.node'],
  banner: {
    // CommonJS packages expect these three.
    js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url),__filename=import.meta.filename??import.meta.url,__dirname=import.meta.dirname??'.';",
  },
  plugins: [
    {
      name: 'lean-ssh2',
      setup(b) {
        // Nothing here tunnels HTTP, and loading node:http, https and tls takes longer than the rest of ssh2.
        b.onResolve({ filter: /^\.\/http-agents\.js$/ }, (args) => ({ path: args.path, namespace: 'left-out' }));
        b.onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: 'module.exports = {};', loader: 'js' }));
        b.onResolve({ filter: /sshcrypto\.node$|^cpu-features$/ }, (args) => ({
          path: args.path,
          namespace: 'absent-native',
        }));
        b.onLoad({ filter: /.*/, namespace: 'absent-native' }, (args) => ({
          contents: `throw new Error(${JSON.stringify(`${args.path} is not part of this build`)});`,
          loader: 'js',
        }));
      },
    },
  ],
};
const toDoors = {
  name: 'to-doors',
  setup(b) {
    b.onResolve({ filter: new RegExp(`^\\./(${doors.flat().join('|')})\\.ts$`) }, ({ path }) => ({
      path: path.replace(/ts$/, 'js'),
      external: true,
    }));
  },
};
await build({ ...options, entryPoints: ['src/cli.ts'], plugins: [toDoors] });
for (const together of doors)
  await build({
    ...options,
    entryPoints: together.map((door) => `src/${door}.ts`),
    chunkNames: `${together[0]}-[hash]`,
  });

// The shipped profiles, parsed: by the hash of their text, so that an edited one is parsed anew (src/profile/load.ts).
mkdirSync(`${folder}/parsed`);
for (const name of readdirSync('profiles')) {
  const text = readFileSync(`profiles/${name}`);
  const hash = createHash('sha256').update(text).digest('hex');
  writeFileSync(`${folder}/parsed/${hash}.json`, JSON.stringify(parse(String(text))));
}
