// Package boot starts a function: it reads the settings from the environment,
// prepares what every function needs (AWS configuration, logs, metrics, traces)
// and hands invocations to a handler.
//
// It builds the AWS configuration from the environment alone, which is where
// Lambda puts region and credentials. The SDK's config package would add
// 1.6 MB and a third of a bare function's start-up for sources that Lambda does
// not have: files, SSO, instance metadata.
//
// A main function is then:
//
//	func main() {
//		boot.Start(func(rt *boot.Runtime) (lambda.Handler, error) {
//			cfg, err := ingest.ParseConfig(rt.Settings)
//			if err != nil {
//				return nil, err
//			}
//			h := ingest.New(cfg, ...)
//			return boot.JSON(h.Handle), nil
//		})
//	}
package boot
