package unprivileged

import "syscall"

// namespaced maps nobody, inside, to root, outside.
func namespaced() *syscall.SysProcAttr {
	root := []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: root, GidMappings: root}
}

// capDACOverride lets a process enter directories that it has no permission for:
// those above the data, such as root's home. See capabilities(7).
const capDACOverride = 1

// lowered is nobody itself, but for the way to the data.
func lowered() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: []uintptr{capDACOverride}}
}
