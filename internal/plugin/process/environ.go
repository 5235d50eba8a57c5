package process

import (
	"slices"
	"strings"
)

// CleanEnviron is what of an environment every program needs, with the variables of
// Packer and those that keep names: where programs, homes and temporary files are, the
// language, proxies and certificates. Credentials are not among them.
func CleanEnviron(environ, keep []string) []string {
	var out []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains(keep, name) || needed(name) {
			out = append(out, kv)
		}
	}
	return out
}

func needed(name string) bool {
	upper := strings.ToUpper(name)
	switch upper {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "TERM",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES",
		"CHECKPOINT_DISABLE":
		return true
	}
	for _, prefix := range []string{"LC_", "XDG_", "PACKER_"} {
		if strings.HasPrefix(upper, prefix) && !strings.HasPrefix(upper, "PACKER_GITHUB_") {
			return true
		}
	}
	return false
}
