package windowsupdate

import (
	"fmt"
	"strings"
)

// hresult is a result code of Windows, as a signed or an unsigned number of 32
// bits.
type hresult int64

// known is what there is to say about an error of Windows Update.
type known struct {
	name, meaning, remedy string
	// passing errors may be gone after a while.
	passing bool
}

const (
	repair  = "repair the component store (DISM /Online /Cleanup-Image /RestoreHealth) in an earlier step"
	reset   = "empty C:\\Windows\\SoftwareDistribution in an earlier step, with the service wuauserv stopped"
	proxy   = "check the network of the machine and its proxy (netsh winhttp show proxy; for all users: netsh winhttp set proxy)"
	wsus    = "check the update server that the machine is set up for (HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate)"
	allowed = "ask who runs the proxy or firewall to let *.windowsupdate.com, *.update.microsoft.com and *.delivery.mp.microsoft.com through"
	later   = "another installation has to end, or the machine to restart, first"
)

// lookUp returns what is known of a code.
func (h hresult) lookUp() (known, bool) {
	for _, e := range []struct {
		code uint32
		known
	}{
		{0x80004005, known{"E_FAIL", "Windows does not say why", "look into C:\\Windows\\Logs\\CBS\\CBS.log", false}},
		{0x80070005, known{"E_ACCESSDENIED", "the user may not install updates", "leave username out, so that SYSTEM does it", false}},
		{0x8007000E, known{"E_OUTOFMEMORY", "the machine has too little memory", "give it 2 GB or more", false}},
		{0x80070020, known{"ERROR_SHARING_VIOLATION", "a file is being used", "keep virus scanners and other installers from running meanwhile", true}},
		{0x80070070, known{"ERROR_DISK_FULL", "the disk of the machine is full", "make it larger, or clean it up (DISM /Online /Cleanup-Image /StartComponentCleanup)", false}},
		{0x80070422, known{"ERROR_SERVICE_DISABLED", "the service that is needed is disabled", "enable wuauserv (Windows Update), bits and TrustedInstaller: Set-Service wuauserv -StartupType Manual", false}},
		{0x80070490, known{"ERROR_NOT_FOUND", "the component store is damaged", repair, false}},
		{0x80070643, known{"ERROR_INSTALL_FAILURE", "the update's installer failed", "look into the application log of the machine; for updates of .NET, repair .NET", false}},
		{0x80070652, known{"ERROR_INSTALL_ALREADY_RUNNING", "another installation is running", later, true}},
		{0x80070BC9, known{"ERROR_FAIL_REBOOT_REQUIRED", "the machine has to restart to take something back", later, false}},
		{0x80072EE2, known{"WININET_E_TIMEOUT", "the update server does not answer in time", proxy, true}},
		{0x80072EE7, known{"WININET_E_NAME_NOT_RESOLVED", "the name of the update server cannot be resolved", "check the DNS server of the machine; " + proxy, true}},
		{0x80072EFD, known{"WININET_E_CANNOT_CONNECT", "the update server cannot be reached", proxy, true}},
		{0x80072EFE, known{"WININET_E_CONNECTION_ABORTED", "the connection to the update server was cut", proxy, true}},
		{0x80072F8F, known{"WININET_E_DECODING_FAILED", "the certificate of the update server is not accepted", "check the clock of the machine, and its root certificates when a proxy looks into TLS", false}},
		{0x80073701, known{"ERROR_SXS_ASSEMBLY_MISSING", "the component store lacks a part", repair, false}},
		{0x80073712, known{"ERROR_SXS_COMPONENT_STORE_CORRUPT", "the component store is damaged", repair, false}},
		{0x80080005, known{"CO_E_SERVER_EXEC_FAILURE", "a service could not be started", "the machine may be too busy: give it more processors and memory", true}},
		{0x800F081F, known{"CBS_E_SOURCE_MISSING", "the files for a repair are missing", repair + ", with /Source set to the installation media", false}},
		{0x800F0831, known{"CBS_E_STORE_CORRUPTION", "the component store is damaged, often because an earlier update is missing", repair, false}},
		{0x800F0922, known{"CBS_E_INSTALLERS_FAILED", "an installer of the update failed", "check that the system partition and the EFI partition have room (500 MB), and that .NET works", false}},
		{0x8024000B, known{"WU_E_CALL_CANCELLED", "the operation was cancelled", "check that nothing else on the machine controls Windows Update", true}},
		{0x8024000E, known{"WU_E_XML_INVALID", "what the update server says cannot be read", reset, false}},
		{0x80240016, known{"WU_E_INSTALL_NOT_ALLOWED", "another installation is running, or a restart is due", later, true}},
		{0x80240017, known{"WU_E_NOT_APPLICABLE", "the update is not for this machine", "leave it out with a filter", false}},
		{0x8024001E, known{"WU_E_SERVICE_STOP", "the service was being stopped", "check that nothing else on the machine controls Windows Update", true}},
		{0x80240022, known{"WU_E_ALL_UPDATES_FAILED", "no update could be installed", "look into C:\\Windows\\Logs\\CBS\\CBS.log", false}},
		{0x80240024, known{"WU_E_NO_UPDATE", "there are no updates to install", "the update was withdrawn: look again", true}},
		{0x80240032, known{"WU_E_INVALID_CRITERIA", "search_criteria is not valid", "write it as in \"IsInstalled=0 and Type='Software'\"", false}},
		{0x80240044, known{"WU_E_PER_MACHINE_UPDATE_ACCESS_DENIED", "the user may not install updates for the machine", "leave username out, so that SYSTEM does it", false}},
		{0x8024002E, known{"WU_E_WU_DISABLED", "a policy forbids access to Windows Update", wsus, false}},
		{0x80240438, known{"WU_E_PT_ENDPOINT_UNREACHABLE", "there is no way to the update server", proxy, true}},
		{0x80240FFF, known{"WU_E_UNEXPECTED", "Windows does not say why", reset, true}},
		{0x8024200D, known{"WU_E_UH_NEEDANOTHERDOWNLOAD", "the update has to be downloaded again", reset, true}},
		{0x80242006, known{"WU_E_UH_INVALIDMETADATA", "the description of the update is damaged", reset, false}},
		{0x80242014, known{"WU_E_UH_POSTREBOOTSTILLPENDING", "the work after a restart is not done yet", later, true}},
		{0x80242016, known{"WU_E_UH_POSTREBOOTUNEXPECTEDSTATE", "the state of the update after the restart is not the one that was expected", reset, false}},
		{0x80244010, known{"WU_E_PT_EXCEEDED_MAX_SERVER_TRIPS", "the update server needs more round trips than are allowed", "search again: it goes on where it stopped", true}},
		{0x80244017, known{"WU_E_PT_HTTP_STATUS_DENIED", "the update server or a proxy wants a login (401)", wsus, false}},
		{0x80244018, known{"WU_E_PT_HTTP_STATUS_FORBIDDEN", "the update server or a proxy refuses access (403)", allowed, false}},
		{0x80244019, known{"WU_E_PT_HTTP_STATUS_NOT_FOUND", "the update server does not have what it offers (404)", wsus, false}},
		{0x8024401B, known{"WU_E_PT_HTTP_STATUS_PROXY_AUTH_REQ", "the proxy wants a login (407)", allowed, false}},
		{0x8024401C, known{"WU_E_PT_HTTP_STATUS_REQUEST_TIMEOUT", "the update server does not answer in time (408)", wsus, true}},
		{0x8024401F, known{"WU_E_PT_HTTP_STATUS_SERVER_ERROR", "the update server has an error (500)", wsus, true}},
		{0x80244021, known{"WU_E_PT_HTTP_STATUS_BAD_GATEWAY", "the proxy cannot reach the update server (502)", proxy, true}},
		{0x80244022, known{"WU_E_PT_HTTP_STATUS_SERVICE_UNAVAIL", "the update server is overloaded (503)", wsus, true}},
		{0x80244023, known{"WU_E_PT_HTTP_STATUS_GATEWAY_TIMEOUT", "the proxy waits for the update server in vain (504)", proxy, true}},
		{0x8024402C, known{"WU_E_PT_WINHTTP_NAME_NOT_RESOLVED", "the name of the update server or of the proxy cannot be resolved", "check the DNS server of the machine; " + proxy, true}},
		{0x8024402F, known{"WU_E_PT_ECP_SUCCEEDED_WITH_ERRORS", "a file from the update server could not be used", allowed, true}},
		{0x80246007, known{"WU_E_DM_NOTDOWNLOADED", "the update has not been downloaded", reset, true}},
		{0x80248007, known{"WU_E_DS_NODATA", "the data store of Windows Update lacks something", reset, false}},
		{0x80248014, known{"WU_E_DS_UNKNOWNSERVICE", "the update service is not known on the machine", reset, false}},
		{0x8024500B, known{"WU_E_REDIRECTOR_SLS_GENERIC_ERROR", "the address of the update server could not be found out", allowed, true}},
		{0x8024500C, known{"WU_E_REDIRECTOR_CONNECT_POLICY", "a policy forbids connections to Windows Update", wsus, false}},
		{0x8024500D, known{"WU_E_REDIRECTOR_ONLINE_DISALLOWED", "a policy forbids connections to Windows Update", wsus, false}},
		{0x80D02002, known{"DO_E_DOWNLOAD_NO_PROGRESS", "the download does not get on", proxy, true}},
	} {
		if e.code == uint32(h) {
			return e.known, true
		}
	}
	return known{}, false
}

// passing reports whether it makes sense to try the same again soon.
func (h hresult) passing() bool {
	k, _ := h.lookUp()
	return k.passing
}

// explain says what the code means and what to do. text is what Windows says.
func (h hresult) explain(text string) string {
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
	code := fmt.Sprintf("0x%08X", uint32(h))
	if k, ok := h.lookUp(); ok {
		return fmt.Sprintf("%s %s, %s; %s", code, k.name, k.meaning, k.remedy)
	}
	const win32 = 0x80070000
	switch {
	case h == 0 && text == "":
		return "Windows does not say why; look into C:\\Windows\\Logs\\CBS\\CBS.log"
	case h == 0, strings.Contains(text, code):
		return text
	case text != "":
		return code + ", " + text
	case uint32(h)&0xFFFF0000 == win32:
		return fmt.Sprintf("%s; \"net helpmsg %d\" on the machine says what that is", code, uint32(h)&0xFFFF)
	}
	return code + "; Get-WindowsUpdateLog on the machine shows what led to it"
}
