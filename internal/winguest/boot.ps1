if (Get-Command Get-CimInstance -ErrorAction SilentlyContinue) {
  $os = Get-CimInstance Win32_OperatingSystem
  $boot = $os.LastBootUpTime
  $now = $os.LocalDateTime
} else {
  $os = Get-WmiObject Win32_OperatingSystem
  $boot = [Management.ManagementDateTimeConverter]::ToDateTime($os.LastBootUpTime)
  $now = [Management.ManagementDateTimeConverter]::ToDateTime($os.LocalDateTime)
}
$milliseconds = [long] ($now - $boot).TotalMilliseconds
Write-Output "ingot-boot $($boot.ToUniversalTime().Ticks) $milliseconds"
