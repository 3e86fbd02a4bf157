package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nobody is the user that PostgreSQL runs as when the runtime is root, as whom it
// refuses to.
const nobody = 65534

// owner is whom the server runs as.
type owner struct {
	// attributes of its processes; nil: those of this one
	attributes *syscall.SysProcAttr
	// chown says that it can reach only what belongs to it.
	chown bool
}

// chooseOwner finds a user that PostgreSQL accepts. As root that is nobody: in a user
// namespace, where the files of root look as nobody's own and stay as they are, or,
// where that is forbidden, as it is in many containers, nobody itself.
func chooseOwner(ctx context.Context, program string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	candidates := []owner{{attributes: namespaced()}, {attributes: lowered(), chown: true}}
	var err error
	for _, candidate := range candidates {
		if candidate.attributes == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, filepath.Join(program, "bin", "postgres"), "--version")
		candidate.apply(cmd)
		if err = cmd.Run(); err == nil {
			return candidate, nil
		}
	}
	return owner{}, fmt.Errorf("PostgreSQL does not run as root, and neither in a user namespace nor as user %d: %w; start as another user", nobody, err)
}

// apply has cmd run as the owner.
func (o owner) apply(cmd *exec.Cmd) {
	if o.attributes == nil {
		return
	}
	attributes := *o.attributes
	cmd.SysProcAttr = &attributes
	cmd.Dir = "/" // nobody may not enter every directory
}

// take gives what lies in the directories to the owner.
func (o owner) take(dirs ...string) error {
	if !o.chown {
		return nil
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody)
		})
		if err != nil {
			return fmt.Errorf("give %s to user %d: %w", dir, nobody, err)
		}
	}
	return nil
}
