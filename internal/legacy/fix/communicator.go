package fix

// Settings of the connection, which all builders have.

var sshKeyPath = Fixer{
	Name:        "sshkeypath",
	Description: `Renames "ssh_key_path" to "ssh_private_key_file" in builders.`,
	Apply:       ofBuilders(anyType, rename("ssh_key_path", "ssh_private_key_file")),
}

var sshDisableAgent = Fixer{
	Name:        "sshdisableagent",
	Description: `Renames "ssh_disable_agent" to "ssh_disable_agent_forwarding" in builders.`,
	Apply:       ofBuilders(anyType, rename("ssh_disable_agent", "ssh_disable_agent_forwarding")),
}

var sshWaitTimeout = Fixer{
	Name:        "ssh-wait-timeout",
	Description: `Renames "ssh_wait_timeout" to "ssh_timeout" in builders.`,
	Apply:       ofBuilders(anyType, rename("ssh_wait_timeout", "ssh_timeout")),
}
