package winrm

import "ingot/internal/readiness"

// The stages of an attempt to connect, as numbers of waitPlan's.
const (
	stageAddress = iota
	stageTCP
	stageHTTP
	stageAuth
	stageShell
	stagePowerShell
)

// waitPlan describes the stages.
func waitPlan() readiness.Plan {
	return readiness.Plan{Transport: "winrm", Label: "WinRM", Setting: "winrm_timeout", Stages: []readiness.Stage{
		stageAddress: {Name: "address", What: "address of the machine",
			Hint: "the machine never got an address: check its network and, for a virtual machine, that it boots and asks for a lease"},
		// Behind a proxy nobody can tell.
		stageTCP: {Name: "tcp", What: "tcp {target}", Optional: true,
			Hint: "check that the machine boots, that its WinRM service is started (winrm quickconfig), and that no firewall or security group is in the way; winrm_host and winrm_port must be reachable from here"},
		stageHTTP: {Name: "http answer", What: "http answer of {target}",
			Hint: "something accepts the connection but does not answer as WinRM does: check winrm_use_ssl and winrm_port (5985 without, 5986 with it), and winrm_insecure for a certificate that nobody knows"},
		stageAuth: {Name: "authentication", What: "winrm authentication at {target}",
			Hint: "check that the machine has the way to log in that is asked for (winrm_use_ntlm), and winrm_username"},
		stageShell: {Name: "shell", What: "winrm shell on {target}",
			Hint: "the login works but no remote shell can be made: check that the user is an administrator, and the limits of the service (winrm get winrm/config/winrs)"},
		stagePowerShell: {Name: "powershell", What: "powershell on {target}",
			Hint: "a remote shell works but PowerShell does not answer: check that powershell.exe is in the PATH of the machine"},
	}}
}
