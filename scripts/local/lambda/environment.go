package lambda

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
)

// environment is what a process sees: the defaults of provided.al2023, what the
// function declares, what the runtime adds, and last what Lambda reserves.
// AWS_EXECUTION_ENV is absent, as it is for OS-only runtimes.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (h *Host) environment(inst *instance, dir string, credentials Credentials) []string {
	fn := inst.config
	env := map[string]string{
		"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
		"LANG": "en_US.UTF-8",
	}
	maps.Copy(env, fn.Env)
	maps.Copy(env, h.cfg.Env)
	maps.Copy(env, map[string]string{
		"TZ":                              ":UTC",
		"_HANDLER":                        fn.Handler,
		"LAMBDA_TASK_ROOT":                dir,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"AWS_LAMBDA_RUNTIME_API":          h.api.address + "/fn/" + inst.token,
		"AWS_LAMBDA_FUNCTION_NAME":        fn.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     latestVersion,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(fn.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + fn.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      inst.started.UTC().Format("2006/01/02/[") + latestVersion + "]" + inst.token,
		"AWS_REGION":                      h.cfg.Region,
		"AWS_DEFAULT_REGION":              h.cfg.Region,
	})
	if credentials.AccessKeyID != "" {
		env["AWS_ACCESS_KEY_ID"] = credentials.AccessKeyID
		env["AWS_SECRET_ACCESS_KEY"] = credentials.SecretAccessKey
		env["AWS_SESSION_TOKEN"] = credentials.SessionToken
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

func taskRoot(dir, binary string) string {
	if dir != "" {
		return dir
	}
	return filepath.Dir(binary)
}
