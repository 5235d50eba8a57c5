# Runs a command as another user, through a scheduled task, and copies its
# output. Everything arrives as arguments; nothing of it is written to a file.
param([string[]] $Texts)
$ErrorActionPreference = 'Stop'
$marker = $Texts[0]
$name = $Texts[1]
$command = $Texts[2]
$user = $Texts[3]
$password = $Texts[4]
$patience = [int] $Texts[5]
$log = Join-Path $env:SystemRoot "Temp\$name.out"

# States and results of the Task Scheduler.
$queued = 2
$running = 4
$resultRunning = 0x41301
$resultNeverRun = 0x41303

$stage = 'early'
$code = 1
$registered = $false
$reader = $null
$moved = 0
$stdout = [Console]::OpenStandardOutput()
$buffer = New-Object byte[] 65536
$copy = {
  $moved = 0
  if (-not $reader -and (Test-Path -LiteralPath $log)) {
    $reader = [IO.File]::Open($log, 'Open', 'Read', 'ReadWrite, Delete')
  }
  if ($reader) {
    while (($count = $reader.Read($buffer, 0, $buffer.Length)) -gt 0) {
      $stdout.Write($buffer, 0, $count)
      $moved += $count
    }
    $stdout.Flush()
  }
}
try {
  $service = New-Object -ComObject Schedule.Service
  $service.Connect()
  $folder = $service.GetFolder('\')
  $definition = $service.NewTask(0)
  $definition.Settings.DisallowStartIfOnBatteries = $false
  $definition.Settings.StopIfGoingOnBatteries = $false
  $definition.Settings.ExecutionTimeLimit = 'PT0S'
  $definition.Settings.Priority = 4
  $definition.Principal.RunLevel = 1
  $action = $definition.Actions.Create(0)
  $action.Path = Join-Path $env:SystemRoot 'System32\cmd.exe'
  $action.Arguments = '/s /c "' + $command + ' > "' + $log + '" 2>&1"'
  $logon = 1
  if ($password -eq '') {
    # A service account has no password.
    $logon = 5
    $password = $null
  }
  $null = $folder.RegisterTaskDefinition($name, $definition, 2, $user, $password, $logon, $null)
  $registered = $true
  $null = $folder.GetTask($name).Run($null)

  $clock = [Diagnostics.Stopwatch]::StartNew()
  $pause = 50
  do {
    Start-Sleep -Milliseconds $pause
    $pause = [Math]::Min($pause * 2, 1000)
    $task = $folder.GetTask($name)
    $begun = ($task.State -eq $running) -or (($task.State -ne $queued) -and ($task.LastTaskResult -ne $resultNeverRun))
    if ((-not $begun) -and ($clock.Elapsed.TotalSeconds -gt $patience)) {
      throw "the scheduled task has not started within $patience s, its state is $($task.State)"
    }
  } until ($begun)
  $stage = 'late'

  # The state may change a little before the result does.
  $pause = 100
  $seenEnded = 0
  do {
    Start-Sleep -Milliseconds $pause
    $task = $folder.GetTask($name)
    if (($task.State -ne $running) -and ($task.State -ne $queued)) { $seenEnded++ }
    $done = ($seenEnded -gt 0) -and (($task.LastTaskResult -ne $resultRunning) -or ($seenEnded -gt 20))
    . $copy
    if ($moved -gt 0) { $pause = 100 } else { $pause = [Math]::Min($pause * 2, 1000) }
  } until ($done)
  if ($task.LastTaskResult -eq $resultRunning) {
    throw 'the scheduled task ended without a result'
  }
  $code = $task.LastTaskResult
} catch {
  $reason = $_.Exception.Message -replace '\s+', ' '
  [Console]::Error.WriteLine("$marker $stage $reason")
  $code = 1
} finally {
  if ($reader) { $reader.Dispose() }
  if ($registered) {
    try { $folder.GetTask($name).Stop(0) } catch { $null = $_ }
    try { $folder.DeleteTask($name, 0) } catch { [Console]::Error.WriteLine("$marker left $($_.Exception.Message)") }
  }
  Remove-Item -LiteralPath $log -Force -ErrorAction SilentlyContinue
}
exit $code
