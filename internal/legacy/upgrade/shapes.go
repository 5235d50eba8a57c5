package upgrade

import (
	"maps"
	"strings"
)

// A shape says how HCL writes a setting whose JSON form does not tell.
type shape struct {
	kind   shapeKind
	nested shapes
}

type shapeKind uint8

const (
	// unknown settings are written by what their value is.
	unknown shapeKind = iota
	// aBlock is one block, or several of the same name.
	aBlock
	// aMap is an object with any keys.
	aMap
	// aList is a list, which JSON templates may also write as "a,b".
	aList
)

// shapes are the shapes of settings by name.
type shapes map[string]shape

func block(nested shapes) shape { return shape{aBlock, nested} }

// named gives several settings one shape.
func named(s shape, names string) shapes {
	out := shapes{}
	for _, n := range strings.Fields(names) {
		out[n] = s
	}
	return out
}

func all(of ...shapes) shapes {
	out := shapes{}
	for _, s := range of {
		maps.Copy(out, s)
	}
	return out
}

func lists(names string) shapes   { return named(shape{kind: aList}, names) }
func maplike(names string) shapes { return named(shape{kind: aMap}, names) }

// builderShapes are the shapes of a builder's settings.
func builderShapes(builderType string) shapes {
	family, _, _ := strings.Cut(builderType, "-")
	switch family {
	case "amazon":
		return all(machine(), amazon())
	case "azure":
		return all(machine(), azure())
	case "docker":
		return all(machine(), lists("cap_add cap_drop changes device run_command tmpfs"), maplike("volumes"),
			named(block(maplike("arguments")), "build"))
	case "qemu":
		return all(machine(), lists("disk_additional_size"), named(block(lists("convert create resize")), "qemu_img_args"))
	case "vsphere":
		return all(machine(), vsphere())
	case "googlecompute":
		return all(machine(), lists("image_licenses source_image_project_id scopes tags"), maplike("image_labels labels metadata metadata_files"))
	}
	return machine()
}

// provisionerShapes are the shapes of a provisioner's settings.
func provisionerShapes(provisionerType string) shapes {
	switch provisionerType {
	case "shell", "powershell", "windows-shell":
		return all(lists("inline scripts environment_vars valid_exit_codes"), maplike("env"))
	case "shell-local":
		return all(lists("inline scripts environment_vars valid_exit_codes execute_command only_on"), maplike("env"))
	case "file":
		return lists("sources")
	case "windows-restart":
		return lists("registry_keys")
	case "chef-client", "chef-solo":
		return maplike("json")
	case "ansible":
		return lists("ansible_env_vars extra_arguments groups empty_groups host_vars")
	case "ansible-local":
		return lists("extra_arguments playbook_files playbook_paths role_paths collection_paths inventory_groups")
	}
	return nil
}

// postProcessorShapes are the shapes of a post-processor's settings.
func postProcessorShapes(postProcessorType string) shapes {
	switch postProcessorType {
	case "shell-local":
		return provisionerShapes("shell-local")
	case "artifice":
		return lists("files")
	case "checksum":
		return lists("checksum_types")
	case "manifest":
		return maplike("custom_data")
	case "docker-import":
		return lists("changes")
	case "docker-tag":
		return lists("tag tags")
	case "vagrant":
		return all(lists("include"), maplike("override"))
	case "vsphere":
		return lists("options")
	case "amazon-import":
		return all(aws(), lists("ami_groups ami_org_arns ami_ou_arns ami_users"), maplike("tags"))
	}
	return nil
}

// machine are settings that most builders share: the connection, files for the
// machine, what is typed at boot.
func machine() shapes {
	return all(
		lists("ssh_ciphers ssh_host_key ssh_key_exchange_algorithms ssh_local_tunnels ssh_remote_tunnels boot_command cd_files floppy_dirs floppy_files iso_urls iso_paths"),
		maplike("cd_content floppy_content http_content"))
}

// aws are the settings of how AWS is reached.
func aws() shapes {
	return shapes{
		"assume_role":      block(all(lists("policy_arns transitive_tag_keys"), maplike("tags"))),
		"aws_polling":      block(nil),
		"vault_aws_engine": block(nil),
	}
}

func amazon() shapes {
	filter := block(all(maplike("filters"), named(block(nil), "filter")))
	image := block(all(maplike("filters"), lists("owners")))
	device := block(nil)
	return all(aws(),
		lists("ami_groups ami_org_arns ami_ou_arns ami_product_codes ami_regions ami_users snapshot_groups snapshot_users security_group_ids "+
			"spot_instance_types temporary_security_group_source_cidrs copy_files mount_options post_mount_commands pre_mount_commands"),
		maplike("fleet_tags region_kms_key_ids root_volume_tags run_tags run_volume_tags snapshot_tags spot_tags tags"),
		named(device, "ami_block_device_mappings launch_block_device_mappings ami_root_device deregistration_protection metadata_options placement "+
			"fleet_tag root_volume_tag run_tag run_volume_tag snapshot_tag spot_tag tag"),
		named(filter, "security_group_filter subnet_filter vpc_filter"),
		shapes{
			"source_ami_filter":      image,
			"ebs_volumes":            block(all(lists("snapshot_groups snapshot_users"), maplike("snapshot_tags tags"), named(block(nil), "snapshot_tag tag"))),
			"fast_launch":            block(named(block(nil), "region_launch_templates")),
			"license_specifications": block(named(block(nil), "license_configuration_request")),
			"temporary_iam_instance_profile_policy_document": block(named(block(lists("Action Resource")), "Statement")),
		})
}

func azure() shapes {
	return all(
		lists("allowed_inbound_ip_addresses disk_additional_luns disk_additional_size user_assigned_managed_identities copy_files mount_options "+
			"post_mount_commands pre_mount_commands pre_unmount_commands"),
		maplike("azure_tags"),
		named(block(nil), "azure_tag plan_info shared_image_gallery spot"),
		named(block(all(lists("replication_regions"), named(block(nil), "target_region target_regions"))),
			"shared_image_destination shared_image_gallery_destination"),
		shapes{"dtl_artifacts": block(named(block(nil), "parameters"))})
}

func vsphere() shapes {
	nic := block(lists("dns_server_list"))
	return all(
		lists("disk_controller_type usb_controller"),
		maplike("configuration_parameters"),
		named(block(nil), "network_adapters pci_passthrough_allowed_device storage"),
		shapes{
			"content_library_destination": block(lists("ovf_flags")),
			"export":                      block(lists("options")),
			"vapp":                        block(maplike("properties")),
			"customize": block(all(lists("dns_server_list dns_suffix_list"),
				named(nic, "network_interface"), named(block(lists("run_once_command_list")), "linux_options windows_options"))),
		})
}
