import { fileURLToPath } from 'node:url';

/** The folder of this program: above src/ when it runs from its sources, above dist/ when bundled. */
export const programRoot = fileURLToPath(new URL('..', import.meta.url));
