// Package emf reads metrics out of log lines that are written in CloudWatch's
// embedded metric format, and keeps the latest figures of each in bounded memory,
// one sum per second, for a while.
//
// It is as strict as CloudWatch: a document without a valid directive yields no
// metrics, and a member that a directive names but that is no number is passed
// over. Everything is safe for concurrent use.
package emf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// Limits of the format. What goes beyond them is not read.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
const (
	maxMetrics    = 100
	maxDimensions = 30
	maxValues     = 100
	maxDocument   = 1 << 20
	maxName       = 1024
)

// Dimension narrows a metric.
type Dimension struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Metric is one metric of one document, with one set of dimensions.
type Metric struct {
	Namespace  string
	Name       string
	Unit       string
	Dimensions []Dimension
	Values     []float64
	Time       time.Time
}

// document is what the format says of itself.
type document struct {
	AWS *struct {
		Timestamp  int64       `json:"Timestamp"`
		Directives []directive `json:"CloudWatchMetrics"`
	} `json:"_aws"`
}

type directive struct {
	Namespace  string     `json:"Namespace"`
	Dimensions [][]string `json:"Dimensions"`
	Metrics    []struct {
		Name string `json:"Name"`
		Unit string `json:"Unit"`
	} `json:"Metrics"`
}

// marker is in every document and in few other lines.
const marker = `"CloudWatchMetrics"`

// Parse reads the metrics of a line. A line of another kind has none.
func Parse(line []byte) ([]Metric, error) {
	if !bytes.Contains(line, []byte(marker)) || len(line) > maxDocument {
		return nil, nil
	}
	var doc document
	if err := json.Unmarshal(line, &doc); err != nil {
		return nil, fmt.Errorf("decode embedded metrics: %w", err)
	}
	if doc.AWS == nil {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return nil, fmt.Errorf("decode embedded metrics: %w", err)
	}
	var found []Metric
	for _, d := range doc.AWS.Directives {
		sets := d.Dimensions
		if len(sets) == 0 {
			sets = [][]string{nil}
		}
		for i, m := range d.Metrics {
			if i == maxMetrics {
				break
			}
			values := numbers(members[m.Name])
			if len(values) == 0 || m.Name == "" || len(m.Name) > maxName {
				continue
			}
			for _, set := range sets {
				if dims, ok := dimensions(set, members); ok && len(found) < maxMetrics {
					found = append(found, Metric{
						Namespace: d.Namespace, Name: m.Name, Unit: m.Unit, Dimensions: dims, Values: values,
						Time: time.UnixMilli(doc.AWS.Timestamp).UTC(),
					})
				}
			}
		}
	}
	return found, nil
}

// numbers are a metric's values: one number or a list of them.
func numbers(raw json.RawMessage) []float64 {
	var one float64
	if json.Unmarshal(raw, &one) == nil && !isNull(raw) {
		return finite([]float64{one})
	}
	var many []float64
	if json.Unmarshal(raw, &many) != nil {
		return nil
	}
	return finite(many[:min(len(many), maxValues)])
}

func isNull(raw json.RawMessage) bool { return strings.TrimSpace(string(raw)) == "null" }

func finite(values []float64) []float64 {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return values
}

// dimensions are the values of a set's members, which must be strings.
func dimensions(set []string, members map[string]json.RawMessage) ([]Dimension, bool) {
	if len(set) > maxDimensions {
		return nil, false
	}
	out := make([]Dimension, 0, len(set))
	for _, name := range set {
		var value string
		if json.Unmarshal(members[name], &value) != nil || value == "" || len(value) > maxName {
			return nil, false
		}
		out = append(out, Dimension{name, value})
	}
	return out, true
}
