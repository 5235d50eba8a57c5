package oci

import (
	"os"
	"strings"
	"testing"

	"ingot/internal/testkit/live"
)

// TestDebootstrap needs a Debian mirror, which INGOT_TEST_MIRROR names, and is
// therefore not part of an ordinary run.
func TestDebootstrap(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	mirror := os.Getenv("INGOT_TEST_MIRROR")
	if mirror == "" {
		t.Skip("INGOT_TEST_MIRROR is not set")
	}
	cache := t.TempDir()
	tag := "ingot-oci-test/debootstrap:1"
	archive, output := out(t, "image.docker.tar")
	a := attrs{"from": str("debootstrap:bookworm"), "mirror": str(mirror), "packages": list("tree"), "output": output, "tag": str(tag)}
	b := boot(t, cache, nil, a)
	b.step("tree --version; apt-get --version | head -1; dpkg -s tree | grep Status")
	b.capture()
	load(t, env, archive, tag)
	if got := mustDocker(t, env, "run", "--rm", tag, "sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME; ls /dev/null"); !strings.Contains(got, "bookworm") {
		t.Errorf("got %q", got)
	}
	if m := mountsBelow(t, cache); m != "" {
		t.Errorf("mounts are left: %s", m)
	}
	// The second one comes from the cache: a mirror that does not exist
	// would be another image, so nothing but the output may change.
	a["output"] = str(t.TempDir() + "/again.docker.tar")
	again := boot(t, cache, nil, a)
	if said := again.events.Said(); strings.Contains(said, "Unpacking") || len(again.events.Lines(1)) > 0 {
		t.Errorf("made again: %s", said)
	}
}
