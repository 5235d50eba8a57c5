package qemu

import (
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

func list(texts ...string) cty.Value {
	out := make([]cty.Value, len(texts))
	for i, t := range texts {
		out[i] = cty.StringVal(t)
	}
	return cty.ListVal(out)
}

// settings is a configuration that is complete, with some settings of its own; a
// null takes one away.
func settings(own map[string]cty.Value) cty.Value {
	all := map[string]cty.Value{
		"iso_url":      cty.StringVal("https://example.com/installer.iso"),
		"iso_checksum": cty.StringVal("sha256:" + strings.Repeat("0", 64)),
		"ssh_username": cty.StringVal("root"),
		"ssh_password": cty.StringVal("secret"),
	}
	for name, v := range own {
		all[name] = v
	}
	return schema().Object(all)
}

// findings are diagnostics as "Severity attribute: Summary".
func findings(l diag.List) string {
	var out []string
	for _, d := range l {
		where := ""
		for _, step := range d.Path {
			switch s := step.(type) {
			case cty.GetAttrStep:
				where += "." + s.Name
			case cty.IndexStep:
				where += "[]"
			}
		}
		out = append(out, d.Severity.String()+" "+strings.TrimPrefix(where, ".")+": "+d.Summary)
	}
	return strings.Join(out, "; ")
}

func TestCheck(t *testing.T) {
	str, yes, num := cty.StringVal, cty.True, cty.NumberIntVal
	type set = map[string]cty.Value
	null := cty.NullVal(cty.String)
	pairs := func(texts ...string) cty.Value { return cty.ListVal([]cty.Value{list(texts...)}) }
	for name, c := range map[string]struct {
		set  set
		want string
	}{
		"complete":          {nil, ""},
		"no image":          {set{"iso_url": null}, "Error iso_url: Missing image"},
		"no checksum":       {set{"iso_checksum": null}, "Error iso_checksum: Missing checksum"},
		"no user":           {set{"ssh_username": null}, "Error ssh_username: Missing setting"},
		"winrm":             {set{"communicator": str("winrm")}, "Error winrm_username: Missing setting; Error winrm_password: Missing setting"},
		"telnet":            {set{"communicator": str("telnet")}, "Error communicator: Unknown communicator"},
		"none":              {set{"communicator": str("none"), "ssh_username": null}, ""},
		"none, shutdown":    {set{"communicator": str("none"), "shutdown_command": str("x")}, "Warning shutdown_command: Setting without effect"},
		"key untold":        {set{"ssh_password": null}, "Warning ssh_username: The machine does not know the key"},
		"key typed":         {set{"ssh_password": null, "boot_command": list("key {{.SSHPublicKey}}")}, ""},
		"key in a step":     {set{"ssh_password": null, "boot_steps": pairs("{{.SSHPublicKey}}", "tell the key")}, ""},
		"agent":             {set{"ssh_password": null, "ssh_agent_auth": yes}, ""},
		"agent not known":   {set{"ssh_password": null, "ssh_agent_auth": cty.UnknownVal(cty.Bool)}, ""},
		"stored key":        {set{"ssh_keypair_name": str("k")}, "Warning ssh_keypair_name: Setting without effect"},
		"no processors":     {set{"cpus": num(-1)}, "Error cpus: Number out of range"},
		"topology":          {set{"cpus": num(5), "sockets": num(1), "cores": num(2), "threads": num(2)}, "Error cpus: Conflicting settings"},
		"half a topology":   {set{"cpus": num(4), "cores": num(2)}, ""},
		"no memory":         {set{"memory": num(0)}, "Error memory: Number out of range"},
		"ports":             {set{"host_port_min": num(5000), "host_port_max": num(4000)}, "Error host_port_min: Empty range of ports"},
		"first port only":   {set{"host_port_min": num(5000)}, "Error host_port_min: Empty range of ports"},
		"old ports":         {set{"ssh_host_port_min": num(3000), "ssh_host_port_max": num(3000)}, ""},
		"both ports":        {set{"ssh_host_port_min": num(3000), "host_port_min": num(3000)}, "Error ssh_host_port_min: Conflicting settings"},
		"port too high":     {set{"host_port_max": num(70000)}, "Error host_port_max: Number out of range"},
		"bridge":            {set{"net_bridge": str("br0"), "host_port_min": num(2300)}, "Warning host_port_min: Setting without effect"},
		"argument":          {set{"qemuargs": pairs("m", "1024")}, "Error qemuargs[]: Not a switch"},
		"argument in parts": {set{"qemuargs": pairs("-netdev", "user,id=n,", "hostfwd=tcp::{{.SSHHostPort}}-:22", "")}, ""},
		"argument's field":  {set{"qemuargs": pairs("-name", "{{.Nmae}}")}, "Error qemuargs[][]: Invalid template action"},
		"size":              {set{"disk_size": str("10 gigabytes")}, "Error disk_size: Invalid size"},
		"more sizes":        {set{"disk_additional_size": list("1G", "big")}, "Error disk_additional_size[]: Invalid size"},
		"size not used":     {set{"disk_size": str("1G"), "disk_image": yes, "skip_resize_disk": yes}, "Warning disk_size: Setting without effect"},
		"backing, ISO":      {set{"use_backing_file": yes}, "Error use_backing_file: Setting needs another one"},
		"backing, raw":      {set{"use_backing_file": yes, "disk_image": yes, "format": str("raw")}, "Error use_backing_file: Setting does not fit the format"},
		"compressed raw":    {set{"disk_compression": yes, "format": str("raw")}, "Error disk_compression: Setting does not fit the format"},
		"both of a copy":    {set{"skip_compaction": yes, "disk_compression": yes}, "Warning skip_compaction: Setting without effect"},
		"arguments, ISO":    {set{"qemu_img_args": imgArgs("-o", "a=b", "-W", "", "--shrink")}, "Warning qemu_img_args.resize: Setting without effect"},
		"arguments, raw":    {set{"format": str("raw"), "disk_image": yes, "qemu_img_args": imgArgs("-o", "a=b", "-W", "", "--shrink")}, "Warning qemu_img_args.create: Setting without effect"},
		"arguments, backing": {set{"disk_image": yes, "use_backing_file": yes, "skip_resize_disk": yes, "qemu_img_args": imgArgs("-o", "a=b", "-W", "", "--shrink")},
			"Warning qemu_img_args.convert: Setting without effect; Warning qemu_img_args.resize: Setting without effect"},
		"resized ISO":      {set{"skip_resize_disk": yes}, "Error skip_resize_disk: Setting needs another one"},
		"name is a path":   {set{"vm_name": str("a/b")}, "Error vm_name: Not a file name"},
		"name of the vars": {set{"vm_name": str("efivars.fd")}, "Error vm_name: Name is taken"},
		"two firmwares":    {set{"firmware": str("."), "efi_boot": yes}, "Error firmware: Not a file; Error firmware: Conflicting settings"},
		"flash of nothing": {set{"use_pflash": yes}, "Warning use_pflash: Setting without effect"},
		"no EFI":           {set{"efi_drop_efivars": yes}, "Warning efi_drop_efivars: Setting without effect"},
		"secure boot": {set{"efi_firmware_code": str("/none/OVMF_CODE.secboot.fd")},
			"Warning efi_firmware_code: File not found; Error machine_type: Secure Boot needs another machine"},
		"no TPM":           {set{"use_tpm1": yes}, "Warning use_tpm1: Setting without effect"},
		"two displays":     {set{"use_default_display": yes, "display": str("sdl")}, "Error display: Conflicting settings"},
		"hidden display":   {set{"headless": yes, "display": str("sdl")}, "Warning display: Setting without effect"},
		"VNC port":         {set{"vnc_port_min": num(80)}, "Error vnc_port_min: Number out of range"},
		"VNC range":        {set{"vnc_port_min": num(5950), "vnc_port_max": num(5940)}, "Error vnc_port_min: Empty range of ports"},
		"VNC address":      {set{"vnc_bind_address": str("here")}, "Error vnc_bind_address: Invalid address"},
		"VNC password":     {set{"vnc_use_password": yes, "vnc_password": str("123456789")}, "Error vnc_password: Password is too long"},
		"VNC without":      {set{"vnc_password": str("12345678")}, "Warning vnc_password: Setting without effect"},
		"no VNC":           {set{"disable_vnc": yes, "vnc_use_password": yes}, "Warning vnc_use_password: Setting without effect"},
		"no VNC, typing":   {set{"disable_vnc": yes, "boot_command": list("<enter>")}, ""},
		"command and step": {set{"boot_command": list("a"), "boot_steps": pairs("b")}, "Error boot_command: Conflicting settings"},
		"step":             {set{"boot_steps": pairs("a", "b", "c")}, "Error boot_steps[]: Not a step"},
		"wait for nothing": {set{"boot_command": list("<wait0s>")}, "Error boot_command[]: Invalid boot command"},
		"unknown key":      {set{"boot_command": list("<entr>")}, "Warning boot_command[]: Unknown key"},
		"unknown field":    {set{"boot_command": list("{{.HTTPPrt}}")}, "Error boot_command[]: Invalid template action"},
		"known later":      {set{"boot_command": list("{{build `ID`}}")}, ""},
		"no time":          {set{"shutdown_timeout": str("0s")}, "Error shutdown_timeout: Invalid time"},
		"monitor":          {set{"qmp_socket_path": str("/tmp/s")}, "Warning qmp_socket_path: Setting without effect"},
		"long monitor":     {set{"qmp_enable": yes, "qmp_socket_path": str("/" + strings.Repeat("s", 200))}, "Error qmp_socket_path: Path is too long"},
		"all not known":    {set{"communicator": cty.UnknownVal(cty.String), "iso_url": cty.UnknownVal(cty.String), "disk_size": cty.UnknownVal(cty.String), "vm_name": cty.UnknownVal(cty.String), "format": cty.UnknownVal(cty.String), "disk_image": cty.UnknownVal(cty.Bool), "use_backing_file": yes, "efi_boot": cty.UnknownVal(cty.Bool)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := readConfig(settings(c.set))
			if got := findings(diags); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			for _, d := range diags {
				if strings.Contains(d.Detail, "%!") || !strings.HasSuffix(d.Detail, ".") {
					t.Errorf("detail %q", d.Detail)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	p, diags := readConfig(settings(nil))
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	if p.Communicator != "ssh" || p.HostPortMin != 2222 || p.HostPortMax != 4444 || p.diskSize != 40<<30 || p.diskSizeSet || p.Memory != 512 ||
		p.processors() != 1 || p.Format != "qcow2" || !p.forwards() || p.makesKeyPair() || p.EFIBoot {
		t.Errorf("got %+v", p)
	}
	if p.vmName("web") != "packer-web" || p.outputDir("web") != "output-web" {
		t.Errorf("names %s, %s", p.vmName("web"), p.outputDir("web"))
	}
	p, _ = readConfig(settings(map[string]cty.Value{
		"ssh_host_port_min": cty.NumberIntVal(3000), "ssh_host_port_max": cty.NumberIntVal(3001), "efi_firmware_code": cty.StringVal("/x"),
		"cores": cty.NumberIntVal(2), "threads": cty.NumberIntVal(2), "disk_size": cty.StringVal("1T"), "communicator": cty.StringVal("none"),
	}))
	if p.HostPortMin != 3000 || p.HostPortMax != 3001 || !p.EFIBoot || p.processors() != 4 || p.diskSize != 1<<40 || p.forwards() {
		t.Errorf("got %+v", p)
	}
}

func TestSchemaFitsTheStruct(t *testing.T) {
	s := schema()
	seen := map[string]bool{}
	for _, a := range s.Attributes {
		if seen[a.Name] {
			t.Errorf("%s is described twice", a.Name)
		}
		seen[a.Name] = true
		if !strings.HasSuffix(a.Description, ".") {
			t.Errorf("%s: description %q", a.Name, a.Description)
		}
	}
	if err := component.Decode(s.Object(nil), &config{}); err != nil {
		t.Error(err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1 << 20, "40960": 40 << 30, "40960M": 40 << 30, "512b": 512, "3k": 3 << 10, "2G": 2 << 30, "1t": 1 << 40, "7E": 7 << 60,
		"": -1, "0": -1, "-1G": -1, "1.5G": -1, "G": -1, "8E": -1, "1GB": -1, "9999999999999999999": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
