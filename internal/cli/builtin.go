package cli

import (
	"os"
	"runtime/debug"
	"slices"
	"sync"

	"golang.org/x/term"

	"ingot/internal/builder/docker"
	filebuilder "ingot/internal/builder/file"
	nullbuilder "ingot/internal/builder/null"
	"ingot/internal/builder/oci"
	"ingot/internal/builder/qemu"
	"ingot/internal/comm/none"
	"ingot/internal/comm/ssh"
	"ingot/internal/comm/winrm"
	"ingot/internal/component"
	httpdata "ingot/internal/datasource/http"
	nulldata "ingot/internal/datasource/null"
	"ingot/internal/journal"
	"ingot/internal/postproc/artifice"
	"ingot/internal/postproc/checksum"
	"ingot/internal/postproc/compress"
	"ingot/internal/postproc/dockerimport"
	"ingot/internal/postproc/dockerpush"
	"ingot/internal/postproc/dockersave"
	"ingot/internal/postproc/dockertag"
	"ingot/internal/postproc/manifest"
	localpost "ingot/internal/postproc/shelllocal"
	"ingot/internal/provision/ansible"
	"ingot/internal/provision/ansiblelocal"
	"ingot/internal/provision/breakpoint"
	"ingot/internal/provision/cloudinit"
	fileprov "ingot/internal/provision/file"
	"ingot/internal/provision/powershell"
	"ingot/internal/provision/puppetmasterless"
	"ingot/internal/provision/shell"
	"ingot/internal/provision/shelllocal"
	"ingot/internal/provision/sleep"
	"ingot/internal/provision/windowsrestart"
	"ingot/internal/provision/windowsshell"
	"ingot/internal/provision/windowsupdate"
	"ingot/internal/reap"
)

// builtin is the one list of components: constructors, so that a command pays
// only for what its template uses.
type builtin struct {
	builders       map[string]func() component.Builder
	provisioners   map[string]func() component.Provisioner
	postProcessors map[string]func() component.PostProcessor
	dataSources    map[string]func() component.DataSource
}

var _ component.Provider = builtin{}

func builtins() builtin {
	b := builtin{
		builders: map[string]func() component.Builder{
			"docker": docker.New,
			"file":   filebuilder.New,
			"null":   nullbuilder.New,
			"oci":    oci.New,
			"qemu":   sync.OnceValue(qemu.New), // it remembers which accelerator works
		},
		provisioners: map[string]func() component.Provisioner{
			"ansible":           ansible.New,
			"ansible-local":     ansiblelocal.New,
			"breakpoint":        breakpoint.New,
			"cloud-init":        cloudinit.New,
			"file":              fileprov.New,
			"powershell":        powershell.New,
			"puppet-masterless": puppetmasterless.New,
			"shell":             shell.New,
			"shell-local":       shelllocal.New,
			"sleep":             sleep.New,
			"windows-restart":   windowsrestart.New,
			"windows-shell":     windowsshell.New,
			"windows-update":    windowsupdate.New,
		},
		postProcessors: map[string]func() component.PostProcessor{
			"artifice":      artifice.New,
			"checksum":      checksum.New,
			"compress":      compress.New,
			"docker-import": dockerimport.New,
			"docker-push":   dockerpush.New,
			"docker-save":   dockersave.New,
			"docker-tag":    dockertag.New,
			"manifest":      manifest.New,
			"shell-local":   localpost.New,
		},
		dataSources: map[string]func() component.DataSource{
			"http": httpdata.New,
			"null": nulldata.New,
		},
	}
	addTestBuilders(b.builders)
	return b
}

func (a *app) dialers() map[string]component.Dialer {
	return map[string]component.Dialer{
		"ssh":   ssh.NewDialer(ssh.SystemDeps()),
		"winrm": winrm.NewDialer(winrm.Deps{}),
		"none":  none.NewDialer(),
	}
}

func (a *app) reapers() journal.Reapers {
	return journal.NewReapers(a.allReapers()...)
}

func (a *app) allReapers() []component.Reaper {
	return append(testReapers(), reap.Files{}, reap.Processes{}, docker.NewReaper(), oci.NewReaper(), a.plugins)
}

// Manifest implements component.Provider.
func (b builtin) Manifest() component.Manifest {
	return component.Manifest{
		Builders:       sortedKeys(b.builders),
		Provisioners:   sortedKeys(b.provisioners),
		PostProcessors: sortedKeys(b.postProcessors),
		DataSources:    sortedKeys(b.dataSources),
	}
}

// Builder implements component.Provider.
func (b builtin) Builder(name string) component.Builder { return construct(b.builders, name) }

// Provisioner implements component.Provider.
func (b builtin) Provisioner(name string) component.Provisioner {
	return construct(b.provisioners, name)
}

// PostProcessor implements component.Provider.
func (b builtin) PostProcessor(name string) component.PostProcessor {
	return construct(b.postProcessors, name)
}

// DataSource implements component.Provider.
func (b builtin) DataSource(name string) component.DataSource { return construct(b.dataSources, name) }

// Close implements component.Provider.
func (b builtin) Close() error { return nil }

func construct[T any](table map[string]func() T, name string) T {
	if make := table[name]; make != nil {
		return make()
	}
	var none T
	return none
}

func sortedKeys[T any](table map[string]T) []string {
	names := make([]string, 0, len(table))
	for n := range table {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func exitNow(code int) { os.Exit(code) }

// commit is the revision that the program was built from.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
