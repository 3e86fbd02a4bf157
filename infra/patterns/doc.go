// Package patterns holds the constructs that Stowage is built from, for import
// into any CDK app written in Go.
//
// Each construct does one architectural task and defaults to the careful
// choice: encrypted, TLS only, logged, retained. What it is given is left
// alone, its props are copied before defaults are filled in, and no construct
// sets a physical name. Props that cannot work stop the synthesis by a panic
// with a *PropsError, which names the construct, the field, the value and the
// remedy.
//
// Constructs are not safe for concurrent use: the jsii kernel behind them is
// one per process.
package patterns
