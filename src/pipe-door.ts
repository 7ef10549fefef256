import { dialAgent, pipe } from './agent/socket.ts';
import { CmsadmError, exitCodes } from './errors.ts';

/** The other server's way to the agent that runs here: bytes both ways, nothing else. */
export async function pipeToAgent(root: string): Promise<void> {
  for (const signal of ['SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => {});
  try {
    const socket = await dialAgent({ prefix: root, ownersCount: true });
    await pipe(socket, process.stdin, process.stdout);
    process.exit(exitCodes.done);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    process.stderr.write(`${error.message} ${error.remedy ?? ''}\n`);
    process.exit(exitCodes.refused);
  }
}
