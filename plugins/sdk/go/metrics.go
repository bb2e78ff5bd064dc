package wasmill

import (
	"wasmill/internal/core"
)

// Counter is a sum that only grows. Make it once, as a variable of the package.
type Counter struct{ spec core.MetricSpec }

// Gauge is a value that goes up and down. Make it once, as a variable of the package.
type Gauge struct{ spec core.MetricSpec }

// Histogram is how values are distributed. Make it once, as a variable of the package.
type Histogram struct{ spec core.MetricSpec }

// Label is a metric's label.
type Label struct {
	// Name is in snake_case.
	Name string
	// Value is any text.
	Value string
}

const (
	kindCounter uint8 = iota
	kindGauge
	kindHistogram
)

// NewCounter makes a counter by its name, in snake_case and ending in `_total`, and one sentence for people.
func NewCounter(name, help string, labels ...Label) *Counter {
	return &Counter{metricSpec(name, help, kindCounter, labels)}
}

// Add adds to the counter. The host takes it back when the whole call fails, not when the record does.
func (c *Counter) Add(ctx *Context, value float64) { ctx.updateMetric(&c.spec, value) }

// NewGauge makes a gauge by its name, in snake_case, and one sentence for people.
func NewGauge(name, help string, labels ...Label) *Gauge {
	return &Gauge{metricSpec(name, help, kindGauge, labels)}
}

// Set sets the gauge.
func (g *Gauge) Set(ctx *Context, value float64) { ctx.updateMetric(&g.spec, value) }

// NewHistogram makes a histogram by its name, in snake_case, one sentence for people and the upper bounds of
// its buckets, rising.
func NewHistogram(name, help string, bounds []float64, labels ...Label) *Histogram {
	spec := metricSpec(name, help, kindHistogram, labels)
	spec.Bounds = bounds
	return &Histogram{spec}
}

// Observe counts a value.
func (h *Histogram) Observe(ctx *Context, value float64) { ctx.updateMetric(&h.spec, value) }

func metricSpec(name, help string, kind uint8, labels []Label) core.MetricSpec {
	spec := core.MetricSpec{Name: valid(name), Help: valid(help), Kind: kind}
	for _, label := range labels {
		spec.Labels = append(spec.Labels, [2]string{valid(label.Name), valid(label.Value)})
	}
	return spec
}

// updateMetric defines a metric at its first use in this instance.
func (c *Context) updateMetric(spec *core.MetricSpec, value float64) {
	number, defined := c.metrics[spec]
	if !defined {
		number = c.host.DefineMetric(spec)
		c.metrics[spec] = number
	}
	c.host.UpdateMetric(number, value)
}
