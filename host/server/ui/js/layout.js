// Where the nodes of a pipeline are drawn, and the way of each edge. Pure: the same plan, the same picture.

import dagre from "../vendor/dagre.esm.js";

export const NODE = { width: 204, height: 92 };
const LABEL = { width: 84, height: 34 };

/** Rounded corners through the points that dagre gives. */
export function curve(points) {
  const at = (p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`;
  if (points.length < 3) return `M${points.map(at).join("L")}`;
  const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  let way = `M${at(points[0])}L${at(middle(points[0], points[1]))}`;
  for (let i = 1; i < points.length - 1; i += 1) way += `Q${at(points[i])} ${at(middle(points[i], points[i + 1]))}`;
  return `${way}L${at(points.at(-1))}`;
}

/** `direction`: `LR` or `TB`. Answers with the places of nodes by name, of edges by number, and the size of it all. */
export function layout(nodes, edges, direction) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  const isDown = direction === "TB";
  graph.setGraph({ rankdir: direction, nodesep: isDown ? 16 : 26, edgesep: 16, ranksep: isDown ? 22 : 34, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.name, { ...NODE });
  const known = new Set(nodes.map((node) => node.name));
  edges.forEach((edge, i) => {
    if (known.has(edge.from) && known.has(edge.to)) {
      graph.setEdge(edge.from, edge.to, { ...LABEL, labelpos: "c" }, String(i));
    }
  });
  dagre.layout(graph);
  const places = new Map(nodes.map((node) => [node.name, graph.node(node.name)]));
  const ways = new Map();
  for (const id of graph.edges()) {
    const { points, x, y } = graph.edge(id);
    ways.set(Number(id.name), { path: curve(points), x, y });
  }
  const { width, height } = graph.graph();
  return { places, ways, width, height };
}
