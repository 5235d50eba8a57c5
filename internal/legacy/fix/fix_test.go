package fix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"ingot/internal/legacy/jsondoc"
)

// repairs are, by fixer, documents before and after; one without an after is
// not changed. Where a case has no root object it stands for the members of
// one builder.
var repairs = map[string][][2]string{
	"iso-md5": {
		{`"iso_url":"u","iso_md5":"abc","x":1`, `"iso_url":"u","iso_checksum":"abc","x":1,"iso_checksum_type":"md5"`},
		{`"iso_md5":"abc","iso_checksum":"def","iso_checksum_type":"sha1"`, `"iso_checksum":"def","iso_checksum_type":"sha1"`},
		{`"iso_checksum":"abc","iso_checksum_type":"md5"`, ``},
		{`"iso_md5":5`, ``},
	},
	"createtime": {
		{`"ami_name":"a-{{.CreateTime}}-{{ .CreateTime }}"`, `"ami_name":"a-{{timestamp}}-{{ timestamp }}"`},
		{`"bundle_prefix":"{{.CreateTime}}","snapshot_name":"{{- .CreateTime -}}"`, `"bundle_prefix":"{{timestamp}}","snapshot_name":"{{- timestamp -}}"`},
		{`"name":"{{.CreateTime}}"`, ``},
		{`"ami_name":"{{timestamp}}"`, ``},
		{`"ami_name":["{{.CreateTime}}"]`, ``},
	},
	"virtualbox-gaattach": {
		{`"type":"virtualbox","guest_additions_attach":true,"x":1`, `"type":"virtualbox","guest_additions_mode":"attach","x":1`},
		{`"type":"virtualbox","guest_additions_attach":"false"`, `"type":"virtualbox","guest_additions_mode":"upload"`},
		{`"type":"virtualbox","guest_additions_attach":true,"guest_additions_mode":"disable"`, `"type":"virtualbox","guest_additions_mode":"disable"`},
		{`"type":"virtualbox","guest_additions_mode":"attach"`, ``},
		{`"type":"virtualbox","guest_additions_attach":"maybe"`, ``},
		{`"type":"qemu","guest_additions_attach":true`, ``},
	},
	"pp-vagrant-override": {
		{`{"post-processors":[{"type":"vagrant","aws":{"a":1},"x":2,"vmware":{"b":3}}]}`,
			`{"post-processors":[{"type":"vagrant","override":{"aws":{"a":1},"vmware":{"b":3}},"x":2}]}`},
		{`{"post-processors":[[{"type":"vagrant","override":{"aws":{"a":1}},"aws":{"a":2},"digitalocean":{}}]]}`,
			`{"post-processors":[[{"type":"vagrant","override":{"aws":{"a":1},"digitalocean":{}}}]]}`},
		{`{"post-processors":[{"type":"vagrant","override":{"virtualbox":{}}}]}`, ``},
		{`{"post-processors":["vagrant",{"type":"vagrant","aws":"a"},{"type":"vagrant","aws":{},"override":[]},{"type":"other","aws":{}}]}`, ``},
	},
	"virtualbox-rename": {
		{`{"builders":[{"type":"virtualbox"}],"provisioners":[{"type":"shell","only":["virtualbox","x"],"override":{"virtualbox":{"a":1},"x":{}}}],"post-processors":[[{"type":"y","except":["virtualbox"]}]]}`,
			`{"builders":[{"type":"virtualbox-iso"}],"provisioners":[{"type":"shell","only":["virtualbox-iso","x"],"override":{"virtualbox-iso":{"a":1},"x":{}}}],"post-processors":[[{"type":"y","except":["virtualbox-iso"]}]]}`},
		{`{"builders":[{"type":"virtualbox","name":"virtualbox"}],"provisioners":[{"type":"shell","override":{"virtualbox":{}}}]}`,
			`{"builders":[{"type":"virtualbox-iso","name":"virtualbox"}],"provisioners":[{"type":"shell","override":{"virtualbox":{}}}]}`},
		{`{"provisioners":[{"type":"shell","override":{"virtualbox":{}}}]}`, `{"provisioners":[{"type":"shell","override":{"virtualbox-iso":{}}}]}`},
		{`{"post-processors":[{"type":"vagrant","override":{"virtualbox":{}}}]}`, ``},
		{`{"builders":[{"type":"virtualbox-iso"}],"provisioners":[{"type":"shell","override":{"virtualbox-iso":{}}}]}`, ``},
		{`{"builders":[{"type":["virtualbox"]},"virtualbox",{}],"provisioners":[{"override":"virtualbox","only":"virtualbox"}]}`, ``},
	},
	"vmware-rename": {
		{`"type":"vmware"`, `"type":"vmware-iso"`},
		{`{"builders":[{"type":"vmware"}],"provisioners":[{"type":"shell","override":{"vmware":{}}}]}`,
			`{"builders":[{"type":"vmware-iso"}],"provisioners":[{"type":"shell","override":{"vmware-iso":{}}}]}`},
		{`"type":"vmware-iso"`, ``},
		{`"type":5`, ``},
	},
	"parallels-headless": {
		{`"type":"parallels-iso","headless":true,"x":1`, `"type":"parallels-iso","x":1`},
		{`"type":"parallels-pvm","headless":null`, `"type":"parallels-pvm"`},
		{`"type":"parallels-iso"`, ``},
		{`"type":"virtualbox-iso","headless":true`, ``},
	},
	"parallels-deprecations": {
		{`"type":"parallels-iso","parallels_tools_host_path":"p","guest_os_distribution":"ubuntu"`, `"type":"parallels-iso","guest_os_type":"ubuntu"`},
		{`"type":"parallels-pvm","guest_os_distribution":"a","guest_os_type":"b"`, `"type":"parallels-pvm","guest_os_type":"b"`},
		{`"type":"parallels-iso","guest_os_type":"ubuntu"`, ``},
		{`"type":{},"guest_os_distribution":"ubuntu"`, ``},
	},
	"sshkeypath": {
		{`"ssh_key_path":"k","x":1`, `"ssh_private_key_file":"k","x":1`},
		{`"ssh_key_path":"k","ssh_private_key_file":"l"`, `"ssh_private_key_file":"l"`},
		{`"ssh_private_key_file":"k"`, ``},
		{`{"builders":{"ssh_key_path":"k"}}`, ``},
	},
	"sshdisableagent": {
		{`"ssh_disable_agent":true`, `"ssh_disable_agent_forwarding":true`},
		{`"ssh_disable_agent":true,"ssh_disable_agent_forwarding":false`, `"ssh_disable_agent_forwarding":false`},
		{`"ssh_disable_agent_forwarding":true`, ``},
		{`{"builders":["ssh_disable_agent"]}`, ``},
	},
	"scaleway-access-key": {
		{`"type":"scaleway","access_key":"k"`, `"type":"scaleway","organization_id":"k"`},
		{`"type":"scaleway","access_key":"k","organization_id":"o"`, `"type":"scaleway","organization_id":"o"`},
		{`"type":"scaleway","organization_id":"o"`, ``},
		{`"type":"amazon-ebs","access_key":"k"`, ``},
	},
	"manifest-filename": {
		{`{"post-processors":["manifest",{"type":"manifest","filename":"f"},[{"type":"manifest","filename":"g","output":"h"}]]}`,
			`{"post-processors":["manifest",{"type":"manifest","output":"f"},[{"type":"manifest","output":"h"}]]}`},
		{`{"post-processors":[{"type":"manifest","output":"f"},{"type":"other","filename":"f"}]}`, ``},
		{`{"post-processors":{"type":"manifest","filename":"f"}}`, ``},
	},
	"amazon-shutdown_behavior": {
		{`"type":"amazon-ebs","shutdown_behaviour":"stop"`, `"type":"amazon-ebs","shutdown_behavior":"stop"`},
		{`"type":"amazon-ebs","shutdown_behaviour":"stop","shutdown_behavior":"terminate"`, `"type":"amazon-ebs","shutdown_behavior":"terminate"`},
		{`"type":"amazon-instance","shutdown_behavior":"stop"`, ``},
		{`"type":"azure-arm","shutdown_behaviour":"stop"`, ``},
	},
	"amazon-enhanced-networking": {
		{`"type":"amazon-ebs","enhanced_networking":true`, `"type":"amazon-ebs","ena_support":true`},
		{`"type":"amazon-chroot","enhanced_networking":false,"ena_support":true`, `"type":"amazon-chroot","ena_support":true`},
		{`"type":"amazon-ebs","ena_support":true`, ``},
		{`"type":"amazon-ebs","enhanced_networking":[true]`, ``},
	},
	"amazon-private-ip": {
		{`"type":"amazon-ebs","ssh_private_ip":true,"x":1`, `"type":"amazon-ebs","ssh_interface":"private_ip","x":1`},
		{`"type":"amazon-ebs","ssh_private_ip":"false"`, `"type":"amazon-ebs","ssh_interface":"public_ip"`},
		{`"type":"amazon-ebs","ssh_private_ip":true,"ssh_interface":"public_dns"`, `"type":"amazon-ebs","ssh_interface":"public_dns"`},
		{`"type":"amazon-ebs","ssh_interface":"private_ip"`, ``},
		{`"type":"amazon-ebs","ssh_private_ip":5`, ``},
		{`"ssh_private_ip":true`, ``},
	},
	"amazon-temp-sec-cidrs": {
		{`"type":"amazon-ebs","temporary_security_group_source_cidr":"0.0.0.0/0"`, `"type":"amazon-ebs","temporary_security_group_source_cidrs":["0.0.0.0/0"]`},
		{`"type":"amazon-ebs","temporary_security_group_source_cidr":"a","temporary_security_group_source_cidrs":["b"]`, `"type":"amazon-ebs","temporary_security_group_source_cidrs":["b"]`},
		{`"type":"amazon-ebs","temporary_security_group_source_cidrs":["a"]`, ``},
		{`"type":"amazon-ebs","temporary_security_group_source_cidr":null`, ``},
	},
	"docker-email": {
		{`{"builders":[{"type":"docker","login_email":"e"},{"login_email":5}],"post-processors":[{"type":"docker-push","login_email":"e"}]}`,
			`{"builders":[{"type":"docker"},{}],"post-processors":[{"type":"docker-push"}]}`},
		{`{"builders":[{"type":"docker"}],"provisioners":[{"type":"shell","login_email":"e"}]}`, ``},
		{`{"builders":"login_email","post-processors":["login_email",null]}`, ``},
	},
	"docker-tag-tags": {
		{`{"post-processors":[{"type":"docker-tag","repository":"r","tag":"a,b, a","x":1}]}`, `{"post-processors":[{"type":"docker-tag","repository":"r","tags":["a","b"],"x":1}]}`},
		{`{"post-processors":[[{"type":"docker-tag","tag":["a","b"],"tags":"c,a"}]]}`, `{"post-processors":[[{"type":"docker-tag","tags":["c","a","b"]}]]}`},
		{"{\"post-processors\":[{\"type\":\"docker-tag\",\"tag\":\"{{replace `,` `-` 1 `x`}},b\"}]}", "{\"post-processors\":[{\"type\":\"docker-tag\",\"tags\":[\"{{replace `,` `-` 1 `x`}}\",\"b\"]}]}"},
		{`{"post-processors":[{"type":"docker-tag","tags":["a","a"]}]}`, ``},
		{`{"post-processors":[{"type":"docker-tag","tag":5},{"type":"docker-tag","tag":[5]},{"type":"docker-tag","tag":"a","tags":{}}]}`, ``},
	},
	"powershell-escapes": {
		{"{\"provisioners\":[{\"type\":\"powershell\",\"elevated_user\":\"a`$b\",\"elevated_password\":\"`'``$x\",\"environment_vars\":[\"A=`\\\"\",\"B=b\"],\"inline\":[\"`$\"]}]}",
			"{\"provisioners\":[{\"type\":\"powershell\",\"elevated_user\":\"a$b\",\"elevated_password\":\"'`$x\",\"environment_vars\":[\"A=\\\"\",\"B=b\"],\"inline\":[\"`$\"]}]}"},
		{"{\"error-cleanup-provisioner\":{\"type\":\"powershell\",\"override\":{\"x\":{\"elevated_user\":\"`$\"}}}}", `{"error-cleanup-provisioner":{"type":"powershell","override":{"x":{"elevated_user":"$"}}}}`},
		{"{\"provisioners\":[{\"type\":\"powershell\",\"elevated_user\":\"a`n\"},{\"type\":\"shell\",\"environment_vars\":[\"`$\"]}]}", ``},
		{"{\"provisioners\":[{\"type\":\"powershell\",\"elevated_user\":[[\"`$\"]],\"environment_vars\":{\"a\":\"`$\"}}]}", ``},
	},
	"vmware-compaction": {
		{`"type":"vmware-iso","remote_type":"esx5"`, `"type":"vmware-iso","remote_type":"esx5","disk_type_id":"zeroedthick","skip_compaction":true`},
		{`"type":"vmware-iso","remote_type":"esx5","skip_compaction":false,"disk_type_id":"zeroedthick"`, `"type":"vmware-iso","remote_type":"esx5","skip_compaction":true,"disk_type_id":"zeroedthick"`},
		{`"type":"vmware-iso","remote_type":"esx5","disk_type_id":"thin"`, ``},
		{"\"type\":\"vmware-iso\",\"remote_type\":\"esx5\",\"disk_type_id\":\"{{user `d`}}\"", ``},
		{`"type":"vmware-iso","remote_type":"esx5","disk_type_id":"zeroedthick","skip_compaction":true`, ``},
		{`"type":"vmware-iso","remote_type":"esx5","disk_type_id":5`, ``},
		{`"type":"vmware-iso"`, ``},
	},
	"hyperv-deprecations": {
		{`"type":"hyperv-iso","vhd_temp_path":"p"`, `"type":"hyperv-iso"`},
		{`"type":"hyperv-vmcx","vhd_temp_path":"p"`, ``},
		{`"type":null,"vhd_temp_path":"p"`, ``},
	},
	"hyperv-vmxc-typo": {
		{`"type":"hyperv-vmcx","clone_from_vmxc_path":"p"`, `"type":"hyperv-vmcx","clone_from_vmcx_path":"p"`},
		{`"type":"hyperv-vmcx","clone_from_vmcx_path":"p"`, ``},
		{`"type":true,"clone_from_vmxc_path":"p"`, ``},
	},
	"hyperv-cpu-and-ram": {
		{`"type":"hyperv-iso","cpu":2,"ram_size":1024`, `"type":"hyperv-iso","cpus":2,"memory":1024`},
		{`"type":"hyperv-vmcx","cpu":2,"cpus":4`, `"type":"hyperv-vmcx","cpus":4`},
		{`"type":"hyperv-iso","cpus":2,"memory":1024`, ``},
		{`"type":"qemu","cpu":2`, ``},
	},
	"clean-image-name": {
		{`"image_name":"{{clean_image_name name}}-clean_ami_name","image_labels":{"l":"{{ isotime | clean_ami_name }}"},"n":5`,
			`"image_name":"{{clean_resource_name name}}-clean_ami_name","image_labels":{"l":"{{ isotime | clean_resource_name }}"},"n":5`},
		{`"tags":[{"value":"{{clean_ami_name x}}"}]`, `"tags":[{"value":"{{clean_resource_name x}}"}]`},
		{`"image_name":"{{clean_resource_name x}}","a":"{{my_clean_ami_name x}}"`, ``},
		{`"image_labels":5,"image_name":null`, ``},
	},
	"spot-price-auto-product": {
		{`"type":"amazon-ebs","spot_price_auto_product":"Linux/UNIX"`, `"type":"amazon-ebs"`},
		{`"type":"amazon-ebsvolume","spot_price_auto_product":"Linux/UNIX"`, `"type":"amazon-ebsvolume"`},
		{`"type":"amazon-chroot","spot_price_auto_product":"Linux/UNIX"`, ``},
		{`"type":[],"spot_price_auto_product":"Linux/UNIX"`, ``},
	},
	"qemu-disk-size": {
		{`"type":"qemu","disk_size":40960`, `"type":"qemu","disk_size":"40960M"`},
		{`"type":"qemu","disk_size":4e3`, `"type":"qemu","disk_size":"4000M"`},
		{`"type":"qemu","disk_size":"40960M"`, ``},
		{`"type":"qemu","disk_size":1.5`, ``},
		{`"type":"qemu","disk_size":[1]`, ``},
		{`"type":"virtualbox-iso","disk_size":40960`, ``},
	},
	"galaxy-command": {
		{`{"provisioners":[{"type":"ansible-local","galaxycommand":"g","override":{"x":{"galaxycommand":"h"}}}]}`, `{"provisioners":[{"type":"ansible-local","galaxy_command":"g","override":{"x":{"galaxy_command":"h"}}}]}`},
		{`{"provisioners":[{"type":"ansible-local","galaxycommand":"g","galaxy_command":"h"}]}`, `{"provisioners":[{"type":"ansible-local","galaxy_command":"h"}]}`},
		{`{"provisioners":[{"type":"ansible-local","galaxy_command":"g"},{"type":"ansible","galaxycommand":"g"}]}`, ``},
		{`{"provisioners":["galaxycommand",[],{"galaxycommand":"g"}]}`, ``},
	},
	"comm-config": {
		{`"type":"virtualbox-iso","ssh_host_port_min":1,"ssh_host_port_max":2,"ssh_skip_nat_mapping":true`, `"type":"virtualbox-iso","host_port_min":1,"host_port_max":2,"skip_nat_mapping":true`},
		{`"type":"virtualbox-ovf","ssh_host_port_min":1,"host_port_min":3`, `"type":"virtualbox-ovf","host_port_min":3`},
		{`"type":"virtualbox-vm","host_port_min":1,"skip_nat_mapping":true`, ``},
		{`"ssh_host_port_min":1`, ``},
	},
	"ssh-wait-timeout": {
		{`"ssh_wait_timeout":"10m"`, `"ssh_timeout":"10m"`},
		{`"ssh_wait_timeout":"10m","ssh_timeout":"5m"`, `"ssh_timeout":"5m"`},
		{`"ssh_timeout":"10m"`, ``},
		{`{"builders":[["ssh_wait_timeout"],null,true]}`, ``},
	},
	"vsphere-iso-net-disk": {
		{`"type":"vsphere-iso","network":"n","network_card":"c","x":1,"disk_size":5,"disk_thin_provisioned":true,"disk_eagerly_scrub":false`,
			`"type":"vsphere-iso","network_adapters":[{"network":"n","network_card":"c"}],"x":1,"storage":[{"disk_size":5,"disk_thin_provisioned":true,"disk_eagerly_scrub":false}]`},
		{`"type":"vsphere-iso","networkCard":"c","network_adapters":[{"network":"a"},{"network":"b"}]`, `"type":"vsphere-iso","network_adapters":[{"network":"a","network_card":"c"},{"network":"b"}]`},
		{`"type":"vsphere-iso","disk_size":5,"storage":{"disk_size":6}`, `"type":"vsphere-iso","storage":{"disk_size":6}`},
		{`"type":"vsphere-iso","storage":[],"disk_size":5`, `"type":"vsphere-iso","storage":[{"disk_size":5}]`},
		{`"type":"vsphere-iso","network_adapters":[{"network":"n"}],"storage":[{"disk_size":5}]`, ``},
		{`"type":"vsphere-iso","network":["n"],"disk_size":5,"storage":"s"`, ``},
		{`"type":"vsphere-clone","network":"n"`, ``},
	},
	"iso-checksum-type-and-url": {
		{`"iso_checksum":"abc","iso_checksum_type":"sha256","x":1`, `"iso_checksum":"sha256:abc","x":1`},
		{`"x":1,"iso_checksum_url":"http://h/SUMS","iso_checksum_type":"sha1","y":2`, `"x":1,"iso_checksum":"file:http://h/SUMS","y":2`},
		{`"iso_checksum_url":"file:///srv/SUMS"`, `"iso_checksum":"file:file:///srv/SUMS"`},
		{`"iso_checksum_type":"none"`, `"iso_checksum":"none"`},
		{`"iso_checksum":"","iso_checksum_type":"none","iso_checksum_url":""`, `"iso_checksum":"none"`},
		{`"iso_checksum":"abc","iso_checksum_type":"md5","iso_checksum_url":"http://h/SUMS"`, `"iso_checksum":"md5:abc"`},
		{`"iso_checksum":"md5:abc","iso_checksum_type":"sha1"`, `"iso_checksum":"md5:abc"`},
		{"\"iso_checksum\":\"{{user `s`}}\",\"iso_checksum_type\":\"{{user `t`}}\"", "\"iso_checksum\":\"{{user `t`}}:{{user `s`}}\""},
		{`"iso_checksum":"sha256:abc"`, ``},
		{`"iso_checksum_type":"sha1"`, ``},
		{`"iso_checksum":"abc","iso_checksum_type":5`, ``},
		{`"iso_checksum_url":[]`, ``},
	},
	"qemu-host-port": {
		{`"type":"qemu","ssh_host_port_min":1,"ssh_host_port_max":2`, `"type":"qemu","host_port_min":1,"host_port_max":2`},
		{`"type":"qemu","host_port_min":1`, ``},
		{`"type":{"qemu":1},"ssh_host_port_min":1`, ``},
	},
	"azure-exclude_from_latest": {
		{`"type":"azure-chroot","shared_image_destination":{"exlude_from_latest":true}`, `"type":"azure-chroot","shared_image_destination":{"exclude_from_latest":true}`},
		{`"type":"azure-chroot","shared_image_destination":[{"exlude_from_latest":true,"exclude_from_latest":false}]`, `"type":"azure-chroot","shared_image_destination":[{"exclude_from_latest":false}]`},
		{`"type":"azure-chroot","shared_image_destination":{"exclude_from_latest":true}`, ``},
		{`"type":"azure-chroot","shared_image_destination":"exlude_from_latest"`, ``},
		{`"type":"azure-arm","shared_image_destination":{"exlude_from_latest":true}`, ``},
	},
	"proxmox-type": {
		{`"type":"proxmox"`, `"type":"proxmox-iso"`},
		{`"type":"proxmox-iso"`, ``},
		{`"type":["proxmox"]`, ``},
	},
}

func TestFixers(t *testing.T) {
	seen := 0
	for _, f := range All() {
		cases := repairs[f.Name]
		if len(cases) < 3 {
			t.Errorf("%s has %d cases: it needs one that changes, one that is fixed already and one with wrong types", f.Name, len(cases))
		}
		seen++
		for i, c := range cases {
			t.Run(fmt.Sprintf("%s/%d", f.Name, i), func(t *testing.T) { checkRepair(t, f, document(c[0]), document(c[1])) })
		}
	}
	if seen != 34 || len(repairs) != seen {
		t.Errorf("%d fixers, cases for %d, want 34", seen, len(repairs))
	}
}

// document is the template that a case stands for.
func document(text string) string {
	if text == "" || strings.HasPrefix(text, "{") {
		return text
	}
	return `{"builders":[{` + text + `}]}`
}

func checkRepair(t *testing.T, f Fixer, before, after string) {
	doc := parse(t, before)
	changed := f.Apply(doc)
	if changed != (after != "") {
		t.Errorf("changed is %v", changed)
	}
	if after == "" {
		after = before
	}
	if got := compact(doc); got != after {
		t.Errorf("%s\nbecame %s\nwant   %s", before, got, after)
	}
}

func parse(t testing.TB, src string) *jsondoc.Node {
	t.Helper()
	doc, diags := jsondoc.Parse([]byte(src), "t.json")
	if diags != nil {
		t.Fatalf("%s: %v", src, diags.Err())
	}
	return doc
}

// compact prints without white space, in the order of the document.
func compact(doc *jsondoc.Node) string {
	var out bytes.Buffer
	_ = json.Compact(&out, doc.Print()) // what was printed is JSON
	return out.String()
}

// Fixers build on one another: the type is renamed before its settings are.
func TestRunInOrder(t *testing.T) {
	doc := parse(t, `{"_comment":"kept","builders":[{"type":"virtualbox","guest_additions_attach":true,"iso_md5":"abc","ssh_host_port_min":1,"ssh_wait_timeout":"1m"}]}`)
	changed := Run(doc)
	if want := []string{"iso-md5", "virtualbox-gaattach", "virtualbox-rename", "comm-config", "ssh-wait-timeout", "iso-checksum-type-and-url"}; !slices.Equal(changed, want) {
		t.Errorf("changed by %v, want %v", changed, want)
	}
	want := `{"_comment":"kept","builders":[{"type":"virtualbox-iso","guest_additions_mode":"attach","iso_checksum":"md5:abc","host_port_min":1,"ssh_timeout":"1m"}]}`
	if got := compact(doc); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if again := Run(doc); again != nil {
		t.Errorf("changed again by %v", again)
	}
}

func TestAllIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All() {
		if seen[f.Name] || !strings.HasSuffix(f.Description, ".") {
			t.Errorf("%q: %q", f.Name, f.Description)
		}
		seen[f.Name] = true
	}
}

// TestW8FixersTakeAnyJSON runs the fixers on documents that have the right
// names in the wrong places: they must not panic, and what they have done once
// they must not do again.
func TestW8FixersTakeAnyJSON(t *testing.T) {
	for _, src := range []string{
		`null`, `[]`, `"x"`, `5`, `{}`, `{"builders":null}`, `{"builders":{}}`, `{"builders":[{"ssh_host_port_min":1}]}`,
		`{"builders":[{"type":"amazon-ebs","ssh_private_ip":5}]}`, `{"builders":[{"type":"googlecompute","image_labels":["x",5]}]}`,
		`{"builders":[[[]]],"provisioners":[null],"post-processors":[[[{}]]]}`,
	} {
		Run(parse(t, src))
	}
	Run(nil)
	changes := 0
	for seed := range int64(3000) {
		g := generator{rand.New(rand.NewSource(seed))}
		doc := g.template()
		before := compact(doc)
		if Run(doc) != nil {
			changes++
		}
		once := compact(doc)
		if again := Run(doc); again != nil {
			t.Fatalf("%s\nbecame %s\nand was changed again by %v:\n%s", before, once, again, compact(doc))
		}
	}
	if changes < 1000 {
		t.Errorf("only %d documents needed a repair: the generator is too tame", changes)
	}
}

// generator makes documents out of the names that fixers look for. Values of
// powershell settings have no doubled back-ticks: of those, each run of the
// fixer takes one away.
type generator struct{ *rand.Rand }

func (g generator) pick(of ...string) string { return of[g.Intn(len(of))] }

func (g generator) template() *jsondoc.Node {
	n := jsondoc.NewObject()
	for _, section := range []string{"builders", "provisioners", "post-processors"} {
		if g.Intn(20) == 0 {
			n.Set(section, g.value(2))
			continue
		}
		list := jsondoc.NewArray()
		for range g.Intn(4) {
			switch g.Intn(8) {
			case 0:
				list.Elements = append(list.Elements, g.value(2))
			case 1:
				list.Elements = append(list.Elements, jsondoc.NewArray(g.object(2), g.object(2)))
			default:
				list.Elements = append(list.Elements, g.object(2))
			}
		}
		n.Set(section, list)
	}
	return n
}

func (g generator) object(depth int) *jsondoc.Node {
	n := jsondoc.NewObject()
	if g.Intn(5) > 0 {
		n.Set("type", jsondoc.NewString(g.pick("virtualbox", "virtualbox-iso", "vmware", "vmware-iso", "parallels-iso", "scaleway", "amazon-ebs",
			"docker-tag", "docker", "powershell", "hyperv-iso", "hyperv-vmcx", "qemu", "ansible-local", "vsphere-iso", "azure-chroot", "proxmox", "vagrant", "manifest")))
	}
	for range g.Intn(8) {
		n.Set(g.pick("type", "name", "only", "override", "iso_md5", "iso_checksum", "iso_checksum_type", "iso_checksum_url", "ami_name",
			"guest_additions_attach", "aws", "virtualbox", "headless", "guest_os_distribution", "ssh_key_path", "ssh_disable_agent",
			"access_key", "filename", "output", "shutdown_behaviour", "enhanced_networking", "ssh_private_ip", "ssh_interface",
			"temporary_security_group_source_cidr", "login_email", "tag", "tags", "elevated_user", "environment_vars", "remote_type",
			"disk_type_id", "skip_compaction", "vhd_temp_path", "clone_from_vmxc_path", "cpu", "cpus", "ram_size", "spot_price_auto_product",
			"disk_size", "galaxycommand", "ssh_host_port_min", "host_port_min", "ssh_wait_timeout", "network", "networkCard", "network_card",
			"network_adapters", "storage", "shared_image_destination", "exlude_from_latest"), g.value(depth-1))
	}
	return n
}

func (g generator) value(depth int) *jsondoc.Node {
	kind := g.Intn(12)
	switch {
	case kind == 0:
		return &jsondoc.Node{}
	case kind == 1:
		return jsondoc.NewBool(g.Intn(2) == 0)
	case kind == 2:
		return jsondoc.NewNumber(g.pick("0", "-1", "1.5", "4e3", "1e400", "2048"))
	case kind < 5 && depth > 0:
		n := jsondoc.NewArray()
		for range g.Intn(3) {
			n.Elements = append(n.Elements, g.value(depth-1))
		}
		return n
	case kind < 8 && depth > 0:
		return g.object(depth)
	}
	return jsondoc.NewString(g.pick("", "true", "false", "none", "md5", "sha256:abc", "a,b", "thin", "esx5", "virtualbox", "vmware",
		"{{.CreateTime}}", "{{clean_ami_name `x`}}", "a`$b", "file:x", "file:///x", ",,", "{{"))
}

// FuzzRun gives the fixers foreign bytes.
func FuzzRun(f *testing.F) {
	for _, cases := range repairs {
		for _, c := range cases {
			f.Add([]byte(document(c[0])))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, _ := jsondoc.Parse(src, "f")
		before := doc.Clone().Print()
		changed := Run(doc)
		if changed == nil && !bytes.Equal(before, doc.Print()) {
			t.Fatalf("%s became %s and nothing was said", before, doc.Print())
		}
		if bytes.Contains(src, []byte("powershell")) || bytes.Contains(src, []byte(`\u`)) {
			return // of doubled back-ticks each run takes one away
		}
		if again := Run(doc); again != nil {
			t.Fatalf("%s: changed again by %v", before, again)
		}
	})
}
