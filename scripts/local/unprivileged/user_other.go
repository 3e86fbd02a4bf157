//go:build !linux

package unprivileged

import "syscall"

// namespaced is nil: only Linux has user namespaces.
func namespaced() *syscall.SysProcAttr { return nil }

// lowered is nobody itself, which must be let into the directories above the data.
func lowered() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}
