#!/usr/bin/env node
// `node bin/node.js <arguments>` is `node <arguments>` with a Node.js that is new enough.
import { launch } from './launch.js';

await launch(process.argv.slice(2));
