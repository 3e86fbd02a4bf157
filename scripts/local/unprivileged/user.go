// Package unprivileged runs engines that refuse to run as root, PostgreSQL and
// pgbouncer, where the runtime itself is root, as in many containers.
package unprivileged

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nobody is the user that engines run as when the runtime is root.
const nobody = 65534

// User is whom an engine runs as. The zero User is that of this process.
type User struct {
	// attributes of its processes; nil: those of this one
	attributes *syscall.SysProcAttr
	// chown says that it can reach only what belongs to it.
	chown bool
}

// Choose finds a user as whom program runs with the given arguments, which must have it
// exit with 0 at once ("--version"). For root that is nobody: in a user namespace, where
// the files of root look as nobody's own and stay as they are, or, where that is
// forbidden, as it is in many containers, nobody itself.
func Choose(ctx context.Context, program string, args ...string) (User, error) {
	if os.Geteuid() != 0 {
		return User{}, nil
	}
	candidates := []User{{attributes: namespaced()}, {attributes: lowered(), chown: true}}
	var err error
	for _, candidate := range candidates {
		if candidate.attributes == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, program, args...)
		candidate.Apply(cmd)
		if err = cmd.Run(); err == nil {
			return candidate, nil
		}
	}
	return User{}, fmt.Errorf("%s does not run as root, and neither in a user namespace nor as user %d: %w; start as another user", filepath.Base(program), nobody, err)
}

// Apply has cmd run as the user. Its working directory becomes one that everybody may
// enter: paths in its arguments must be absolute.
func (u User) Apply(cmd *exec.Cmd) {
	if u.attributes == nil {
		return
	}
	attributes := *u.attributes
	cmd.SysProcAttr = &attributes
	cmd.Dir = "/"
}

// Take gives what lies in the directories to the user, where it needs that.
func (u User) Take(dirs ...string) error {
	if !u.chown {
		return nil
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody) //nolint:gosec // the directory is ours alone
		})
		if err != nil {
			return fmt.Errorf("give %s to user %d: %w", dir, nobody, err)
		}
	}
	return nil
}
