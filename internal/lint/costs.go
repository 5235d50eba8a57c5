package lint

import (
	"strings"

	"ingot/internal/diag"
)

func costRules() []*Rule {
	return []*Rule{
		{
			ID: "COST101", Severity: diag.Info, Title: "Machine that nobody will find again", check: unmarkedMachine,
			Why:    "When a build is killed its machine goes on running. Without tags nobody can tell it from others, and without shutdown_behavior = \"terminate\" it keeps a billed disk even when it shuts itself down.",
			Advice: "Set run_tags with the project and the pipeline, so that what is left over can be found and removed.",
		},
		{
			ID: "COST102", Severity: diag.Warning, Title: "Snapshots of replaced images stay", check: keptSnapshots,
			Why:    "force_deregister removes the old image and leaves its snapshots, which are billed for good and belong to nothing.",
			Advice: "Set force_delete_snapshot = true as well.",
		},
		{
			ID: "COST103", Severity: diag.Warning, Title: "Volume that stays after every build", check: keptVolume,
			Why:    "delete_on_termination is false unless it is set. Each build leaves one more volume behind, billed and attached to nothing.",
			Advice: "Set delete_on_termination = true in the block.",
		},
		{
			ID: "COST104", Severity: diag.Info, Title: "Volume of the old kind", check: oldVolumeType,
			Why:    "gp2 costs more than gp3 and is slower below 1 TB.",
			Advice: "Set volume_type = \"gp3\".",
		},
	}
}

func unmarkedMachine(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || !m.isAmazon() || m.has("run_tags", "run_tag") {
			continue
		}
		if text, ok := m.text("shutdown_behavior"); ok && text == "terminate" {
			continue
		}
		p.report(m.header(), "The machine of %q has no tags.", m.source.Addr.Name)
	}
}

func keptSnapshots(p *pass) {
	for _, m := range p.machines {
		if m.is("force_deregister") && !m.is("force_delete_snapshot") && !isUnknown(m.arg("force_delete_snapshot")) {
			p.report(m.arg("force_deregister").Expr.Range(), "The snapshots of the replaced image are kept.")
		}
	}
}

func keptVolume(p *pass) {
	for _, m := range p.machines {
		if !m.isAmazon() {
			continue
		}
		for _, s := range m.blocks("launch_block_device_mappings") {
			a := s.Argument("delete_on_termination")
			if isTrue(a) || isUnknown(a) || isTrue(s.Argument("no_device")) {
				continue
			}
			if v, ok := textOf(s.Argument("virtual_name")); ok && strings.HasPrefix(v, "ephemeral") {
				continue
			}
			at := s.Header
			if a != nil {
				at = a.Expr.Range()
			}
			p.report(at, "The volume outlives the machine of the build.")
		}
	}
}

func oldVolumeType(p *pass) {
	for _, m := range p.machines {
		if !strings.HasPrefix(m.kind, "amazon-") {
			continue
		}
		for _, name := range []string{"launch_block_device_mappings", "ami_block_device_mappings", "ebs_volumes", "ami_root_device"} {
			for _, s := range m.blocks(name) {
				if text, ok := textOf(s.Argument("volume_type")); ok && text == "gp2" {
					p.report(s.Argument("volume_type").Expr.Range(), "This volume is gp2.")
				}
			}
		}
	}
}
