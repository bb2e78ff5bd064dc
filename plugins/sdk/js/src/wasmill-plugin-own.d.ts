/** The plugin's own file; `wasmill build` names it by `--alias:wasmill-plugin=FILE`. */
declare module 'wasmill-plugin' {
  const plugin: import('./plugin.ts').Plugin;
  export default plugin;
}
