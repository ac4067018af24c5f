// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// inNamespaces is set where the tests run in namespaces of their own.
const inNamespaces = "HOLDFAST_TEST_NAMESPACES"

// InNamespaces is for a TestMain whose tests need a mount and a network namespace of their own, for all their threads: it runs the
// test binary once more in such a pair, and run there. What a test that is killed leaves behind goes with them. Where the process is not root it
// calls run at once, so that each test says what it lacks; run is told where it is.
func InNamespaces(run func(inside bool)) {
	inside := os.Getenv(inNamespaces) != ""
	if inside || os.Geteuid() != 0 {
		run(inside)
		return
	}
	runtime.LockOSThread() // the tests are killed when the thread ends that began them
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespaces+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "run tests in namespaces of their own:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
