### upload c:/x/it's vars.ps1
### byte order mark
${env:HARD} = "`$x ``y`` `"z`" it`'s %P% `“q`”
line"
${env:PACKER_BUILDER_TYPE} = "null"
${env:PACKER_BUILD_NAME} = "test"
${env:PACKER_HTTP_ADDR} = "10.0.2.2:8000"
${env:PACKER_HTTP_IP} = "10.0.2.2"
${env:PACKER_HTTP_PORT} = "8000"
${env:PLAIN} = "a b"


### upload c:/x/setup.ps1
Write-Output hi

### run powershell -ExecutionPolicy remotesigned -NonInteractive -OutputFormat Text -EncodedCommand (what follows)
$ProgressPreference = 'SilentlyContinue'
. 'c:/x/it''s vars.ps1'
try { $null = (Get-Command -Name 'c:/x/setup.ps1' -CommandType ExternalScript -ErrorAction Stop).ScriptBlock } catch { [Console]::Error.WriteLine(($_ | Out-String)); exit 1 }
& 'c:/x/setup.ps1'
exit $LastExitCode

### run powershell -NoProfile -ExecutionPolicy Bypass -InputFormat Text -NonInteractive -OutputFormat Text -EncodedCommand (what follows)
$ProgressPreference = 'SilentlyContinue'; $ErrorActionPreference = 'Stop'
$left = 0
foreach ($path in @('c:/x/it''s vars.ps1', 'c:/x/setup.ps1')) {
  Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
  if (Test-Path -LiteralPath $path) { $left = 1 }
}
exit $left

