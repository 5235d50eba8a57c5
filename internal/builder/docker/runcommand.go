package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/docker/cli/opts"
	"github.com/docker/go-connections/nat"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// runSpec is what a run_command asks for, in the API's terms.
type runSpec struct {
	// Image is the first argument that is no flag.
	Image      string
	Name       string
	Platform   string
	Config     container.Config
	Host       container.HostConfig
	Networking *network.NetworkingConfig
}

// unsupported are flags of `docker run` that cannot mean anything here, with
// the reason.
var unsupported = map[string]string{
	"attach":         "the container always runs in the background",
	"cidfile":        "the container's ID is build.ID",
	"pull":           "use the pull attribute",
	"detach-keys":    "nothing is attached to the container",
	"sig-proxy":      "nothing is attached to the container",
	"use-api-socket": "mount the socket with --volume",
}

// parseRun reads the arguments of a `docker run` command. It reads the files
// that flags name, such as --env-file, and changes nothing.
func parseRun(args []string) (*runSpec, error) {
	f := newRunFlags()
	if err := f.set.Parse(args); err != nil {
		return nil, f.explain(err)
	}
	rest := f.set.Args()
	if len(rest) == 0 || rest[0] == "" {
		return nil, errors.New("it names no image: end it with \"{{.Image}}\"")
	}
	spec := &runSpec{Image: rest[0], Name: f.name, Platform: f.platform}
	if err := f.fill(spec, rest[1:]); err != nil {
		return nil, err
	}
	return spec, nil
}

// runFlags holds the values of the flags of one run command.
type runFlags struct {
	set *pflag.FlagSet

	detach, interactive, tty, remove, quiet              bool
	privileged, initProcess, readOnly, publishAll        bool
	noHealthcheck, oomKillDisable                        bool
	name, platform, entrypoint, user, workdir, hostname  string
	domainname, macAddress, ip, ip6, ipc, pid, uts       string
	userns, cgroupns, cgroupParent, runtime, restart     string
	stopSignal, logDriver, volumeDriver, cpus            string
	cpusetCPUs, cpusetMems, isolation, healthCmd, shm    string
	memory, memoryReservation, memorySwap                string
	stopTimeout, healthRetries, oomScoreAdj              int
	cpuShares, cpuPeriod, cpuQuota, pidsLimit            int64
	memorySwappiness                                     int64
	blkioWeight                                          uint16
	healthInterval, healthTimeout, healthStart           time.Duration
	envs, envFiles, volumes, volumesFrom, mounts, tmpfs  []string
	networks, aliases, capAdd, capDrop, groupAdd         []string
	addHosts, dns, dnsSearch, dnsOptions, ulimits        []string
	devices, deviceCgroupRules, securityOpts, labels     []string
	labelFiles, publish, expose, links, sysctls, logOpts []string
	storageOpts, gpus, annotations                       []string
}

func newRunFlags() *runFlags {
	f := &runFlags{set: pflag.NewFlagSet("run_command", pflag.ContinueOnError)}
	s := f.set
	s.SetOutput(io.Discard)
	s.SetInterspersed(false)
	s.Usage = func() {}

	s.BoolVarP(&f.detach, "detach", "d", false, "")
	s.BoolVarP(&f.interactive, "interactive", "i", false, "")
	s.BoolVarP(&f.tty, "tty", "t", false, "")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "")
	s.BoolVar(&f.remove, "rm", false, "")
	s.BoolVar(&f.privileged, "privileged", false, "")
	s.BoolVar(&f.initProcess, "init", false, "")
	s.BoolVar(&f.readOnly, "read-only", false, "")
	s.BoolVarP(&f.publishAll, "publish-all", "P", false, "")
	s.BoolVar(&f.noHealthcheck, "no-healthcheck", false, "")
	s.BoolVar(&f.oomKillDisable, "oom-kill-disable", false, "")

	s.StringVar(&f.name, "name", "", "")
	s.StringVar(&f.platform, "platform", "", "")
	s.StringVar(&f.entrypoint, "entrypoint", "", "")
	s.StringVarP(&f.user, "user", "u", "", "")
	s.StringVarP(&f.workdir, "workdir", "w", "", "")
	s.StringVarP(&f.hostname, "hostname", "h", "", "")
	s.StringVar(&f.domainname, "domainname", "", "")
	s.StringVar(&f.macAddress, "mac-address", "", "")
	s.StringVar(&f.ip, "ip", "", "")
	s.StringVar(&f.ip6, "ip6", "", "")
	s.StringVar(&f.ipc, "ipc", "", "")
	s.StringVar(&f.pid, "pid", "", "")
	s.StringVar(&f.uts, "uts", "", "")
	s.StringVar(&f.userns, "userns", "", "")
	s.StringVar(&f.cgroupns, "cgroupns", "", "")
	s.StringVar(&f.cgroupParent, "cgroup-parent", "", "")
	s.StringVar(&f.runtime, "runtime", "", "")
	s.StringVar(&f.restart, "restart", "", "")
	s.StringVar(&f.stopSignal, "stop-signal", "", "")
	s.StringVar(&f.logDriver, "log-driver", "", "")
	s.StringVar(&f.volumeDriver, "volume-driver", "", "")
	s.StringVar(&f.cpus, "cpus", "", "")
	s.StringVar(&f.cpusetCPUs, "cpuset-cpus", "", "")
	s.StringVar(&f.cpusetMems, "cpuset-mems", "", "")
	s.StringVar(&f.isolation, "isolation", "", "")
	s.StringVar(&f.healthCmd, "health-cmd", "", "")
	s.StringVar(&f.shm, "shm-size", "", "")
	s.StringVarP(&f.memory, "memory", "m", "", "")
	s.StringVar(&f.memoryReservation, "memory-reservation", "", "")
	s.StringVar(&f.memorySwap, "memory-swap", "", "")

	s.IntVar(&f.stopTimeout, "stop-timeout", 0, "")
	s.IntVar(&f.healthRetries, "health-retries", 0, "")
	s.IntVar(&f.oomScoreAdj, "oom-score-adj", 0, "")
	s.Int64VarP(&f.cpuShares, "cpu-shares", "c", 0, "")
	s.Int64Var(&f.cpuPeriod, "cpu-period", 0, "")
	s.Int64Var(&f.cpuQuota, "cpu-quota", 0, "")
	s.Int64Var(&f.pidsLimit, "pids-limit", 0, "")
	s.Int64Var(&f.memorySwappiness, "memory-swappiness", -1, "")
	s.Uint16Var(&f.blkioWeight, "blkio-weight", 0, "")
	s.DurationVar(&f.healthInterval, "health-interval", 0, "")
	s.DurationVar(&f.healthTimeout, "health-timeout", 0, "")
	s.DurationVar(&f.healthStart, "health-start-period", 0, "")

	list := func(into *[]string, name, short string) { s.StringArrayVarP(into, name, short, nil, "") }
	list(&f.envs, "env", "e")
	list(&f.envFiles, "env-file", "")
	list(&f.volumes, "volume", "v")
	list(&f.volumesFrom, "volumes-from", "")
	list(&f.mounts, "mount", "")
	list(&f.tmpfs, "tmpfs", "")
	list(&f.networks, "network", "")
	list(&f.networks, "net", "")
	list(&f.aliases, "network-alias", "")
	list(&f.capAdd, "cap-add", "")
	list(&f.capDrop, "cap-drop", "")
	list(&f.groupAdd, "group-add", "")
	list(&f.addHosts, "add-host", "")
	list(&f.dns, "dns", "")
	list(&f.dnsSearch, "dns-search", "")
	list(&f.dnsOptions, "dns-option", "")
	list(&f.ulimits, "ulimit", "")
	list(&f.devices, "device", "")
	list(&f.deviceCgroupRules, "device-cgroup-rule", "")
	list(&f.securityOpts, "security-opt", "")
	list(&f.labels, "label", "l")
	list(&f.labelFiles, "label-file", "")
	list(&f.publish, "publish", "p")
	list(&f.expose, "expose", "")
	list(&f.links, "link", "")
	list(&f.sysctls, "sysctl", "")
	list(&f.logOpts, "log-opt", "")
	list(&f.storageOpts, "storage-opt", "")
	list(&f.gpus, "gpus", "")
	list(&f.annotations, "annotation", "")
	return f
}

// explain turns a parse error into one that says what is possible.
func (f *runFlags) explain(err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	if why, ok := unsupported[name]; ok {
		return fmt.Errorf("the flag --%s cannot be used here: %s", name, why)
	}
	dashes := "--"
	if unknown.GetSpecifiedShortnames() != "" {
		dashes, name = "-", name[:1]
		if name == "a" {
			return fmt.Errorf("the flag -a cannot be used here: %s", unsupported["attach"])
		}
	}
	return fmt.Errorf("the flag %s%s is not supported. Supported are: %s", dashes, name, strings.Join(f.names(), ", "))
}

func (f *runFlags) names() []string {
	var out []string
	f.set.VisitAll(func(flag *pflag.Flag) { out = append(out, "--"+flag.Name) })
	sort.Strings(out)
	return out
}

// fill translates the flags. Each part is small and reports the flag at fault.
func (f *runFlags) fill(s *runSpec, command []string) error {
	for _, part := range []func(*runSpec) error{
		func(s *runSpec) error { return f.process(s, command) },
		f.files, f.resources, f.privileges, f.network, f.health, f.logging,
	} {
		if err := part(s); err != nil {
			return err
		}
	}
	return nil
}

func (f *runFlags) process(s *runSpec, command []string) error {
	envs, err := readEnv(f.envFiles, f.envs)
	if err != nil {
		return fmt.Errorf("--env: %w", err)
	}
	labels, err := opts.ReadKVStrings(f.labelFiles, f.labels)
	if err != nil {
		return fmt.Errorf("--label: %w", err)
	}
	c := &s.Config
	c.Image, c.Cmd, c.Env = s.Image, command, envs
	c.Tty, c.OpenStdin = f.tty, f.interactive
	c.User, c.WorkingDir, c.Hostname, c.Domainname = f.user, f.workdir, f.hostname, f.domainname
	c.StopSignal = f.stopSignal
	if len(labels) > 0 {
		c.Labels = opts.ConvertKVStringsToMap(labels)
	}
	if f.set.Changed("entrypoint") {
		// One empty string is how the API is told to drop the image's own.
		c.Entrypoint = []string{f.entrypoint}
	}
	if f.set.Changed("stop-timeout") {
		c.StopTimeout = &f.stopTimeout
	}
	h := &s.Host
	// --rm is what happens anyway, after the container has been captured.
	h.PublishAllPorts, h.ReadonlyRootfs = f.publishAll, f.readOnly
	h.Runtime, h.Isolation = f.runtime, container.Isolation(f.isolation)
	if f.set.Changed("init") {
		h.Init = &f.initProcess
	}
	if len(f.annotations) > 0 {
		h.Annotations = opts.ConvertKVStringsToMap(f.annotations)
	}
	if h.RestartPolicy, err = opts.ParseRestartPolicy(f.restart); err != nil {
		return fmt.Errorf("--restart: %w", err)
	}
	if f.restart != "" && f.restart != "no" && f.remove {
		return errors.New("--restart and --rm exclude each other")
	}
	return nil
}

// readEnv collects variables. A name without a value passes on the variable of
// this process.
func readEnv(files, values []string) ([]string, error) {
	resolved := make([]string, 0, len(values))
	for _, v := range values {
		v, err := opts.ValidateEnv(v)
		if err != nil {
			return nil, err
		}
		resolved = append(resolved, v)
	}
	return opts.ReadKVEnvStrings(files, resolved)
}

func (f *runFlags) files(s *runSpec) error {
	h := &s.Host
	for _, v := range f.volumes {
		if err := addVolume(s, v); err != nil {
			return fmt.Errorf("--volume: %w", err)
		}
	}
	var m opts.MountOpt
	for _, v := range f.mounts {
		if err := m.Set(v); err != nil {
			return fmt.Errorf("--mount %s: %w", v, err)
		}
	}
	h.Mounts = append(h.Mounts, m.Value()...)
	for _, v := range f.tmpfs {
		addTmpfs(h, v)
	}
	h.VolumesFrom, h.VolumeDriver = f.volumesFrom, f.volumeDriver
	h.StorageOpt = opts.ConvertKVStringsToMap(f.storageOpts)
	for _, v := range f.devices {
		d, err := parseDevice(v)
		if err != nil {
			return fmt.Errorf("--device: %w", err)
		}
		h.Devices = append(h.Devices, d)
	}
	h.DeviceCgroupRules = f.deviceCgroupRules
	var g opts.GpuOpts
	for _, v := range f.gpus {
		if err := g.Set(v); err != nil {
			return fmt.Errorf("--gpus %s: %w", v, err)
		}
	}
	h.DeviceRequests = g.Value()
	return nil
}

// addVolume takes "/container", "/host:/container[:options]" or
// "name:/container[:options]".
func addVolume(s *runSpec, text string) error {
	source, rest, bound := strings.Cut(text, ":")
	if !bound {
		if !path.IsAbs(text) {
			return fmt.Errorf("%q is not an absolute path in the container", text)
		}
		if s.Config.Volumes == nil {
			s.Config.Volumes = map[string]struct{}{}
		}
		s.Config.Volumes[text] = struct{}{}
		return nil
	}
	if source == "" || rest == "" {
		return fmt.Errorf("%q is not SOURCE:TARGET or SOURCE:TARGET:OPTIONS", text)
	}
	abs, err := hostPath(source)
	if err != nil {
		return err
	}
	s.Host.Binds = append(s.Host.Binds, abs+":"+rest)
	return nil
}

// hostPath makes a path absolute; a bare word is the name of a volume.
func hostPath(source string) (string, error) {
	if !strings.HasPrefix(source, ".") && !strings.HasPrefix(source, "~") {
		return source, nil
	}
	if strings.HasPrefix(source, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		return filepath.Join(home, source[2:]), nil
	}
	return filepath.Abs(source)
}

func addTmpfs(h *container.HostConfig, text string) {
	target, options, _ := strings.Cut(text, ":")
	if h.Tmpfs == nil {
		h.Tmpfs = map[string]string{}
	}
	h.Tmpfs[target] = options
}

// parseDevice reads "/dev/host[:/dev/container[:rwm]]".
func parseDevice(text string) (container.DeviceMapping, error) {
	parts := strings.Split(text, ":")
	d := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	switch {
	case len(parts) == 1:
	case len(parts) == 2 && strings.Trim(parts[1], "rwm") == "" && parts[1] != "":
		d.CgroupPermissions = parts[1]
	case len(parts) == 2:
		d.PathInContainer = parts[1]
	case len(parts) == 3:
		d.PathInContainer, d.CgroupPermissions = parts[1], parts[2]
	default:
		return d, fmt.Errorf("%q has too many parts: write HOST[:CONTAINER[:PERMISSIONS]]", text)
	}
	if d.PathOnHost == "" || d.PathInContainer == "" {
		return d, fmt.Errorf("%q has an empty part: write HOST[:CONTAINER[:PERMISSIONS]]", text)
	}
	if d.CgroupPermissions == "" || strings.Trim(d.CgroupPermissions, "rwm") != "" {
		return d, fmt.Errorf("%q: permissions are made of r, w and m", text)
	}
	return d, nil
}

func (f *runFlags) resources(s *runSpec) error {
	r := &s.Host.Resources
	for flag, size := range map[string]struct {
		text string
		into *int64
	}{
		"memory":             {f.memory, &r.Memory},
		"memory-reservation": {f.memoryReservation, &r.MemoryReservation},
		"shm-size":           {f.shm, &s.Host.ShmSize},
	} {
		if size.text == "" {
			continue
		}
		var b opts.MemBytes
		if err := b.Set(size.text); err != nil {
			return fmt.Errorf("--%s %s: %w", flag, size.text, err)
		}
		*size.into = b.Value()
	}
	if f.memorySwap != "" {
		var b opts.MemSwapBytes
		if err := b.Set(f.memorySwap); err != nil {
			return fmt.Errorf("--memory-swap %s: %w", f.memorySwap, err)
		}
		r.MemorySwap = b.Value()
	}
	if f.cpus != "" {
		n, err := opts.ParseCPUs(f.cpus)
		if err != nil {
			return fmt.Errorf("--cpus %s: %w", f.cpus, err)
		}
		r.NanoCPUs = n
	}
	limits := map[string]*container.Ulimit{}
	u := opts.NewUlimitOpt(&limits)
	for _, v := range f.ulimits {
		if err := u.Set(v); err != nil {
			return fmt.Errorf("--ulimit %s: %w", v, err)
		}
	}
	r.Ulimits = u.GetList()
	r.CPUShares, r.CPUPeriod, r.CPUQuota = f.cpuShares, f.cpuPeriod, f.cpuQuota
	r.CpusetCpus, r.CpusetMems, r.CgroupParent = f.cpusetCPUs, f.cpusetMems, f.cgroupParent
	r.BlkioWeight = f.blkioWeight
	if f.set.Changed("pids-limit") {
		r.PidsLimit = &f.pidsLimit
	}
	if f.set.Changed("memory-swappiness") {
		r.MemorySwappiness = &f.memorySwappiness
	}
	if f.set.Changed("oom-kill-disable") {
		r.OomKillDisable = &f.oomKillDisable
	}
	s.Host.OomScoreAdj = f.oomScoreAdj
	return nil
}

func (f *runFlags) privileges(s *runSpec) error {
	h := &s.Host
	h.Privileged = f.privileged
	h.CapAdd, h.CapDrop, h.GroupAdd = f.capAdd, f.capDrop, f.groupAdd
	h.IpcMode, h.PidMode, h.UTSMode = container.IpcMode(f.ipc), container.PidMode(f.pid), container.UTSMode(f.uts)
	h.UsernsMode, h.CgroupnsMode = container.UsernsMode(f.userns), container.CgroupnsMode(f.cgroupns)
	h.Sysctls = opts.ConvertKVStringsToMap(f.sysctls)
	for _, v := range f.securityOpts {
		v, err := securityOpt(v)
		if err != nil {
			return fmt.Errorf("--security-opt: %w", err)
		}
		h.SecurityOpt = append(h.SecurityOpt, v)
	}
	return nil
}

// securityOpt puts the contents of a seccomp profile in place of its file
// name, since the engine may not see the file.
func securityOpt(text string) (string, error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		key, value, ok = strings.Cut(text, ":")
	}
	if !ok && key != "no-new-privileges" {
		return "", fmt.Errorf("%q is not NAME=VALUE", text)
	}
	if key != "seccomp" || value == "unconfined" || value == "builtin" {
		return text, nil
	}
	data, err := os.ReadFile(value)
	if err != nil {
		return "", fmt.Errorf("read the seccomp profile: %w", err)
	}
	if !json.Valid(data) {
		return "", fmt.Errorf("the seccomp profile %s is not JSON", value)
	}
	return "seccomp=" + string(data), nil
}

func (f *runFlags) network(s *runSpec) error {
	h := &s.Host
	h.ExtraHosts, h.DNSSearch, h.DNSOptions, h.Links = f.addHosts, f.dnsSearch, f.dnsOptions, f.links
	for _, v := range f.addHosts {
		if _, err := opts.ValidateExtraHost(v); err != nil {
			return fmt.Errorf("--add-host: %w", err)
		}
	}
	for _, v := range f.dns {
		ip, err := netip.ParseAddr(v)
		if err != nil {
			return fmt.Errorf("--dns: %w", err)
		}
		h.DNS = append(h.DNS, ip)
	}
	if err := f.ports(s); err != nil {
		return err
	}
	return f.networking(s)
}

func (f *runFlags) ports(s *runSpec) error {
	exposed, bindings, err := nat.ParsePortSpecs(f.publish)
	if err != nil {
		return fmt.Errorf("--publish: %w", err)
	}
	s.Config.ExposedPorts, s.Host.PortBindings = network.PortSet{}, network.PortMap{}
	for p := range exposed {
		port, err := network.ParsePort(string(p))
		if err != nil {
			return fmt.Errorf("--publish: %w", err)
		}
		s.Config.ExposedPorts[port] = struct{}{}
		for _, b := range bindings[p] {
			var ip netip.Addr
			if b.HostIP != "" {
				if ip, err = netip.ParseAddr(b.HostIP); err != nil {
					return fmt.Errorf("--publish: %w", err)
				}
			}
			s.Host.PortBindings[port] = append(s.Host.PortBindings[port], network.PortBinding{HostIP: ip, HostPort: b.HostPort})
		}
	}
	for _, e := range f.expose {
		r, err := network.ParsePortRange(e)
		if err != nil {
			return fmt.Errorf("--expose: %w", err)
		}
		for port := range r.All() {
			s.Config.ExposedPorts[port] = struct{}{}
		}
	}
	return nil
}

func (f *runFlags) networking(s *runSpec) error {
	var n opts.NetworkOpt
	for _, v := range f.networks {
		if err := n.Set(v); err != nil {
			return fmt.Errorf("--network %s: %w", v, err)
		}
	}
	wanted := n.Value()
	if len(wanted) == 0 {
		wanted = []opts.NetworkAttachmentOpts{{Target: "default"}}
	} else {
		s.Host.NetworkMode = container.NetworkMode(wanted[0].Target)
	}
	first := &wanted[0]
	first.Aliases = append(first.Aliases, f.aliases...)
	if f.macAddress != "" {
		first.MacAddress = f.macAddress
	}
	for flag, addr := range map[string]struct {
		text string
		into *netip.Addr
	}{"ip": {f.ip, &first.IPv4Address}, "ip6": {f.ip6, &first.IPv6Address}} {
		if addr.text == "" {
			continue
		}
		ip, err := netip.ParseAddr(addr.text)
		if err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
		*addr.into = ip
	}
	endpoints := map[string]*network.EndpointSettings{}
	for _, w := range wanted {
		e, special, err := endpointOf(w)
		if err != nil {
			return err
		}
		if special || len(wanted) > 1 {
			endpoints[w.Target] = e
		}
	}
	if len(endpoints) > 0 {
		s.Networking = &network.NetworkingConfig{EndpointsConfig: endpoints}
	}
	return nil
}

// endpointOf translates one network; special reports whether it has settings
// beyond its name.
func endpointOf(w opts.NetworkAttachmentOpts) (e *network.EndpointSettings, special bool, err error) {
	e = &network.EndpointSettings{Aliases: w.Aliases, Links: w.Links, DriverOpts: w.DriverOpts, GwPriority: w.GwPriority}
	special = len(w.Aliases) > 0 || len(w.Links) > 0 || len(w.DriverOpts) > 0 || w.GwPriority != 0
	if w.MacAddress != "" {
		if err := e.MacAddress.UnmarshalText([]byte(w.MacAddress)); err != nil {
			return nil, false, fmt.Errorf("--mac-address: %w", err)
		}
		special = true
	}
	if w.IPv4Address.IsValid() || w.IPv6Address.IsValid() || len(w.LinkLocalIPs) > 0 {
		e.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: w.IPv4Address, IPv6Address: w.IPv6Address, LinkLocalIPs: w.LinkLocalIPs}
		special = true
	}
	return e, special, nil
}

func (f *runFlags) health(s *runSpec) error {
	if f.noHealthcheck {
		if f.healthCmd != "" {
			return errors.New("--no-healthcheck and --health-cmd exclude each other")
		}
		s.Config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		return nil
	}
	if f.healthCmd == "" && f.healthInterval == 0 && f.healthTimeout == 0 && f.healthStart == 0 && f.healthRetries == 0 {
		return nil
	}
	h := &container.HealthConfig{Interval: f.healthInterval, Timeout: f.healthTimeout, StartPeriod: f.healthStart, Retries: f.healthRetries}
	if f.healthCmd != "" {
		h.Test = []string{"CMD-SHELL", f.healthCmd}
	}
	s.Config.Healthcheck = h
	return nil
}

func (f *runFlags) logging(s *runSpec) error {
	if f.logDriver == "" && len(f.logOpts) > 0 {
		return errors.New("--log-opt needs --log-driver")
	}
	s.Host.LogConfig = container.LogConfig{Type: f.logDriver, Config: opts.ConvertKVStringsToMap(f.logOpts)}
	return nil
}

// memoryMounts are the folders that the archive calls of the API do not reach,
// because what they write there is hidden below a mount in memory.
func (s *runSpec) memoryMounts() []string {
	out := []string{"/dev", "/proc", "/sys"}
	for target := range s.Host.Tmpfs {
		out = append(out, path.Clean(target))
	}
	for _, m := range s.Host.Mounts {
		if m.Type == "tmpfs" {
			out = append(out, path.Clean(m.Target))
		}
	}
	sort.Strings(out)
	return out
}
