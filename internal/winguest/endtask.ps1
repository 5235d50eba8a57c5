$service = New-Object -ComObject Schedule.Service
$service.Connect()
$folder = $service.GetFolder('\')
$task = $null
try { $task = $folder.GetTask($name) } catch { $null = $_ }
if ($task) {
  $task.Stop(0)
  $folder.DeleteTask($name, 0)
}
$log = Join-Path $env:SystemRoot "Temp\$name.out"
for ($try = 0; ($try -lt 20) -and (Test-Path -LiteralPath $log); $try++) {
  Start-Sleep -Milliseconds (50 * $try)
  Remove-Item -LiteralPath $log -Force -ErrorAction SilentlyContinue
}
