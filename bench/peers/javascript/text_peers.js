// SPDX-License-Identifier: Apache-2.0
// Measures other sequence CRDTs on the traces of joinery's text benchmark. A line of JSON for each figure.
'use strict';

const { sequential, concurrent } = require('./columns.js');
const { Report, selects } = require('./measure.js');
const { shapes } = require('./shapes.js');
const { load, isConcurrent, flattened } = require('./traces.js');
const { packages } = require('./package-lock.json');

const PEERS = [require('./yjs.js'), require('./json_joy.js')];
const TRACES = ['automerge-paper', 'sveltecomponent', 'seph-blog1', 'friendsforever', 'A1', 'S1'];
const FLAT = 'friendsforever-flat';

function parse(args) {
  const options = { peers: [], traces: [], columns: [], quick: false };
  const filters = { '--peer': options.peers, '--trace': options.traces, '--column': options.columns };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--quick') {
      options.quick = true;
    } else if (args[i] in filters && i + 1 < args.length) {
      filters[args[i]].push(args[++i]);
    } else {
      console.error('usage: text_peers.js [--peer NAME]... [--trace NAME]... [--column NAME]... [--quick]');
      process.exit(2);
    }
  }
  return options;
}

/** The traces that are wanted and there: a name, patches or txns, and the text at the end. */
function inputsFrom(folder, wanted) {
  if (!folder) {
    console.error('traces: skipped, JOINERY_TRACES does not name their folder');
    return [];
  }
  const inputs = [];
  for (const name of TRACES) {
    const flat = name === 'friendsforever' && wanted(FLAT);
    if (!wanted(name) && !flat) continue;
    let trace;
    try {
      trace = load(folder, name);
    } catch (error) {
      console.error(`${name}: skipped, ${error.message}`);
      continue;
    }
    const { txns, endContent: end } = trace;
    if (flat) inputs.push({ name: FLAT, patches: flattened(txns), end });
    if (!wanted(name)) continue;
    if (isConcurrent(trace)) inputs.push({ name, txns, end });
    else inputs.push({ name, patches: txns.flatMap((txn) => txn.patches), end });
  }
  return inputs;
}

const options = parse(process.argv.slice(2));
const wanted = (name) => selects(options.traces, name);
const inputs = inputsFrom(process.env.JOINERY_TRACES, wanted);
for (const Peer of PEERS.filter((peer) => selects(options.peers, peer.package))) {
  const { version } = packages[`node_modules/${Peer.package}`];
  for (const { name, patches, txns, end } of inputs) {
    const report = new Report(options, Peer.package, version, name);
    if (patches) sequential(Peer, report, patches, end);
    else concurrent(Peer, report, txns, end);
  }
  for (const [kind, inputsOf] of shapes) {
    for (const [name, input] of Object.entries(inputsOf).filter(([shape]) => wanted(shape))) {
      if (kind(Peer, new Report(options, Peer.package, version, name), input) === false) break;
    }
  }
}
