package wasmilltest

import (
	"maps"
	"strings"

	witTypes "wasmill/internal/bindings/wit/types"
	"wasmill/internal/core"
	// It sets core.Migrate.
	_ "wasmill/migration"
	"wasmill/queries"
)

// Ask asks the plugin, as GET .../query/TRANSFORM/ with this path does, such as `items/7?n=3`. Nothing is
// decoded. The error is the plugin's own.
func (p *Plugin) Ask(path string) (queries.Answer, error) {
	path, parameters, _ := strings.Cut(path, "?")
	var request core.Request
	for part := range strings.SplitSeq(path, "/") {
		if part != "" {
			request.Path = append(request.Path, part)
		}
	}
	for parameter := range strings.SplitSeq(parameters, "&") {
		if name, value, _ := strings.Cut(parameter, "="); parameter != "" {
			request.Parameters = append(request.Parameters, witTypes.Tuple2[string, string]{F0: name, F1: value})
		}
	}
	response, err := core.Ask(p.instance, peers{p.host}, request)
	if err != nil {
		return queries.Answer{}, err
	}
	return queries.Answer{
		Status: int(response.Status), ContentType: response.ContentType, Body: bytesClone(response.Body),
	}, nil
}

// SetStateOf puts a value into a store of another transform of the pipeline, for queries.
func (p *Plugin) SetStateOf(transform, store, key string, value []byte) {
	at := peerStore{transform, store}
	if p.host.peers[at] == nil {
		p.host.peers[at] = map[string][]byte{}
	}
	p.host.peers[at][key] = append([]byte{}, value...)
}

// Migrate lets the plugin change what SetState has put there as an earlier state version. The error is the
// plugin's own; then the state is as it was.
func (p *Plugin) Migrate(from uint32) error {
	var before []map[string][]byte
	for _, store := range p.host.state {
		before = append(before, maps.Clone(store))
	}
	err := core.Migrate(p.instance, from)
	if err != nil {
		p.host.state = before
	}
	return err
}
