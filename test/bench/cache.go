//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// cacheFigures are about the step cache.
var cacheFigures = []figure{
	{"docker: 10 shell provisioners with -cache, no image made", "empty: <= 1.1x without; last one changed: <= 0.5 s", dockerCache},
	{"oci: 10 shell provisioners with -cache", "empty: <= 1.1x without", ociCache},
	{"qemu: 10 shell provisioners with -cache", "empty: <= 1.1x without; last one changed: <= 6 s", qemuCache},
}

// tenSteps is a build of which the last provisioner can be changed. Each takes the
// time.
func tenSteps(source, sleep string) string {
	var t strings.Builder
	fmt.Fprintf(&t, "variable \"last\" {\n  default = \"0\"\n}\nbuild {\n  sources = [%q]\n", source)
	for i := range 9 {
		fmt.Fprintf(&t, "  provisioner \"shell\" {\n    inline = [\"sleep %s; echo %d > /s%d\"]\n  }\n", sleep, i, i)
	}
	t.WriteString("  provisioner \"shell\" {\n    inline = [\"echo ${var.last} > /last\"]\n  }\n}\n")
	return t.String()
}

// cacheRow measures a build without the cache, with an empty one, and after a
// change of the last provisioner.
func (b *bench) cacheRow(path string) (string, error) {
	n := 0
	changed := func() (sample, error) {
		n++
		return b.once(nil, b.ingot, "build", "-force", "-cache", "-var", "last="+strconv.Itoa(n), path)
	}
	empty := func() (sample, error) {
		if _, err := b.once(nil, b.ingot, "cache", "prune", "-all"); err != nil {
			return sample{}, err
		}
		return b.once(nil, b.ingot, "build", "-force", "-cache", path)
	}
	// The base image is in the cache in neither case.
	without := func() (sample, error) {
		if _, err := b.once(nil, b.ingot, "cache", "prune", "-all"); err != nil {
			return sample{}, err
		}
		return b.once(nil, b.ingot, "build", "-force", path)
	}
	// The change that counts is the second one: the first one may be what makes
	// the machine be saved before it.
	twice := func() (sample, error) {
		if _, err := changed(); err != nil {
			return sample{}, err
		}
		return changed()
	}
	s, err := b.inTurn(without, empty, twice)
	if err != nil {
		return "", err
	}
	if _, err := b.once(nil, b.ingot, "cache", "prune", "-all"); err != nil {
		return "", err
	}
	return fmt.Sprintf("empty: %s, %s without (%s); last one changed: %s", seconds(s[1].wall), ratio(s[1].wall, s[0].wall), seconds(s[0].wall), seconds(s[2].wall)), nil
}

func dockerCache(b *bench) (string, error) {
	path, err := b.write("docker-cache/t.pkr.hcl", fmt.Sprintf("source \"docker\" \"d\" {\n  image   = %q\n  pull    = false\n  discard = true\n}\n", b.env.DebianImage)+tenSteps("docker.d", "0.5"))
	if err != nil {
		return "", err
	}
	row, err := b.cacheRow(path)
	if err != nil {
		return "", err
	}
	// What the engine takes for a container with one command.
	s, err := b.inTurn(func() (sample, error) {
		return b.once(nil, "docker", "run", "--rm", b.env.DebianImage, "sh", "-c", "echo 0 > /last")
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s (docker run --rm: %s)", row, seconds(s[0].wall)), nil
}

func ociCache(b *bench) (string, error) {
	path, err := b.write("oci-cache/t.pkr.hcl", fmt.Sprintf("source \"oci\" \"o\" {\n  from   = \"tar:%s\"\n  output = \"%s/oci-cache/image.tar\"\n}\n", b.env.TinyTar, b.dir)+tenSteps("oci.o", "0.5"))
	if err != nil {
		return "", err
	}
	return b.cacheRow(path)
}

func qemuCache(b *bench) (string, error) {
	if b.env.Guest == nil {
		return "", errNoGuest
	}
	path, err := b.write("qemu-cache/t.pkr.hcl", b.qemuSource("")+tenSteps("qemu.m", "0"))
	if err != nil {
		return "", err
	}
	return b.atMost(3).cacheRow(path)
}
