// Package tags has the build tags of the functions, for whoever builds one.
package tags

// Functions leave out what a function never uses: the RPC entry point of the go1.x
// runtime, and gRPC's request tracing pages, which the X-Ray SDK drags in. Their
// templates call methods by name, so that the linker must keep every method of every
// type: that is a third of the binary. And HTTP/2: the services that they call take
// HTTP/1.1.
const Functions = "lambda.norpc,grpcnotrace,nethttpomithttp2"
