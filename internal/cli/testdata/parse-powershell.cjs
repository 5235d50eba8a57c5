// Parses PowerShell scripts: parse-powershell.cjs MODULES FILE... prints where one
// is wrong, and exits with 1 then.
const { createRequire } = require('node:module');
const path = require('node:path');
const fs = require('node:fs');

const modules = process.argv[2];
const from = createRequire(path.join(modules, 'x.js'));
const { Parser, Language } = from('web-tree-sitter');

function report(file, node) {
  if (node.isError || node.isMissing) {
    const { row, column } = node.startPosition;
    const what = node.isMissing ? `missing ${node.type}` : 'not PowerShell';
    console.log(`${file}:${row + 1}:${column + 1}: ${what}: ${node.text.slice(0, 60)}`);
    process.exitCode = 1;
  } else if (node.hasError) {
    node.children.forEach((child) => report(file, child));
  }
}

(async () => {
  await Parser.init();
  const parser = new Parser();
  parser.setLanguage(await Language.load(path.join(modules, 'tree-sitter-powershell', 'tree-sitter-powershell.wasm')));
  for (const file of process.argv.slice(3)) {
    report(file, parser.parse(fs.readFileSync(file, 'utf8').replace(/^\ufeff/, '')).rootNode);
  }
})();
