//go:build unix

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/internal/plugin/plugintest"
	"ingot/internal/plugin/store"
)

// pluginCommands are commands of scripts that need plugins.
func pluginCommands(t *testing.T) map[string]func(*testscript.TestScript, bool, []string) {
	servers := map[string]*plugintest.Server{}
	probe := sync.OnceValues(func() ([]byte, error) {
		file := filepath.Join(t.TempDir(), "probe")
		cmd := exec.Command("go", "build", "-o", file, "./server")
		cmd.Dir = filepath.Join("..", "..", "test", "plugin", "probe")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the probe: %w\n%s", err, out)
		}
		return os.ReadFile(file)
	})
	return map[string]func(*testscript.TestScript, bool, []string){
		// plugin-server begins a server that plays the release site and GitHub.
		"plugin-server": func(ts *testscript.TestScript, _ bool, _ []string) {
			s := plugintest.NewServer(scriptTB{t, ts})
			for name, value := range s.Env() {
				ts.Setenv(name, value)
			}
			ts.Setenv("PLUGIN_SERVER", s.URL)
			ts.Setenv("PLATFORM", store.Here().String())
			servers[s.URL] = s
		},
		// publish OWNER NAME VERSION... puts releases on it.
		"publish": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < 3 {
				ts.Fatalf("usage: publish OWNER NAME VERSION...")
			}
			for _, v := range args[2:] {
				d := plugintest.Description{Version: v, APIVersion: "x5.0", Builders: []string{store.DefaultComponent, "b"}, Provisioners: []string{"p"}}
				servers[ts.Getenv("PLUGIN_SERVER")].Publish(args[0], args[1], v, "x5.0", d)
			}
		},
		// asked prints what the server was asked for since the last time.
		"asked": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Check(writeLines(ts, servers[ts.Getenv("PLUGIN_SERVER")].Asked()))
		},
		// local-plugin FILE VERSION writes a plugin that was just built.
		"local-plugin": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: local-plugin FILE VERSION")
			}
			d := plugintest.Description{Version: args[1], APIVersion: "x5.0", Builders: []string{store.DefaultComponent}}
			plugintest.Put(scriptTB{t, ts}, "/", ts.MkAbs(args[0]), plugintest.Script(d, ts.MkAbs("ran")))
		},
		// install-probe SOURCE puts the probe into the plugin folder, which has a component
		// of every kind and runs commands on this machine.
		"install-probe": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: install-probe SOURCE")
			}
			content, err := probe()
			ts.Check(err)
			name := args[0][strings.LastIndexByte(args[0], '/')+1:]
			plugintest.Put(scriptTB{t, ts}, ts.MkAbs(ts.Getenv("PACKER_PLUGIN_PATH")+"/"+args[0]), plugintest.FileName(name, "v0.1.0", "x5.0"), content)
		},
		// install-plugin SOURCE VERSION puts one into the plugin folder. Each time
		// that it runs, it adds a line to the file ran.
		"install-plugin": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: install-plugin SOURCE VERSION")
			}
			name := args[0][strings.LastIndexByte(args[0], '/')+1:]
			d := plugintest.Description{Version: args[1], APIVersion: "x5.0", Builders: []string{store.DefaultComponent, "b"}}
			plugintest.Put(scriptTB{t, ts}, ts.MkAbs(ts.Getenv("PACKER_PLUGIN_PATH")+"/"+args[0]), plugintest.FileName(name, "v"+args[1], "x5.0"), plugintest.Script(d, ts.MkAbs("ran")))
		},
	}
}

func writeLines(ts *testscript.TestScript, lines []string) error {
	_, err := ts.Stdout().Write([]byte(strings.Join(append(lines, ""), "\n")))
	return err
}
