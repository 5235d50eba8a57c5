package fake_test

import (
	"testing"

	"ingot/internal/comm/fake"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestContract(t *testing.T) {
	for name, o := range map[string]fake.Options{
		"everything": {}, "no terminal": {NoPTY: true}, "no trees": {NoTree: true}, "commands only": {NoFiles: true, NoTree: true}, "files only": {NoRun: true},
		"nothing": {NoRun: true, NoFiles: true, NoTree: true, NoPTY: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := fake.NewMachine()
			m.ReadOnly("/etc")
			componenttest.Communicator(t, componenttest.CommunicatorConfig{
				New:        func(testing.TB) component.Communicator { return m.Connect(o) },
				Dir:        "/tmp",
				Unwritable: "/etc/file",
			})
		})
	}
}
