// Package procid tells one process of this machine from another one that later has
// its number. A reaper that ends processes by their number needs that.
package procid

// Kind is the resource kind of a process. Resource.ID is its process id; the
// environment variable TokenVariable of the process and of all that it starts holds
// the token.
const Kind = "os.process"

// TokenVariable is the environment variable that marks our processes.
const TokenVariable = "INGOT_TOKEN"

// Attributes of a resource, absent where the system does not tell: what Stat and Boot
// return.
const (
	StartAttr = "start_time"
	BootAttr  = "boot_id"
)
