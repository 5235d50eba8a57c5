# Looks for updates once, and downloads and installs those that are wanted. What
# happens is told in lines of a marker and JSON in base64. What to do stands in
# $encoded, JSON in base64 as well, which is set before this begins.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$request = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($encoded)) | ConvertFrom-Json
$during = 'start'

function Send-News([hashtable] $News) {
  $json = ConvertTo-Json -InputObject $News -Compress
  $text = [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($json))
  [Console]::Out.WriteLine("$($request.marker) $text")
  [Console]::Out.Flush()
}

function Get-ErrorCode($Exception) {
  while ($Exception.InnerException) { $Exception = $Exception.InnerException }
  return [Runtime.InteropServices.Marshal]::GetHRForException($Exception)
}

# The first filter whose expression is true decides.
function Test-Wanted($Update) {
  for ($i = 0; $i -lt $filters.Count; $i++) {
    $script:during = "filter $($i + 1)"
    if (@($Update | Where-Object $filters[$i].test).Count -gt 0) { return $filters[$i].include }
  }
  return $false
}

# Result codes of the Windows Update Agent: 2 is success, 3 success with errors,
# 4 failure.
function Test-Success($Code) { return ($Code -eq 2) -or ($Code -eq 3) }

try {
  $system = New-Object -ComObject Microsoft.Update.SystemInfo
  if ($system.RebootRequired) {
    Send-News @{ event = 'end'; reboot = $true }
    exit 0
  }
  $session = New-Object -ComObject Microsoft.Update.Session
  $session.ClientApplicationID = 'Ingot'
  $busy = $session.CreateUpdateInstaller()
  while ($busy.IsBusy) {
    Send-News @{ event = 'busy' }
    Start-Sleep -Seconds 5
  }
  $filters = @(foreach ($f in $request.filters) {
      $during = "filter $($f.number)"
      @{ include = [bool] $f.include; test = [scriptblock]::Create($f.expression) }
    })

  $during = 'search'
  Send-News @{ event = 'searching' }
  $found = $session.CreateUpdateSearcher().Search($request.criteria)
  foreach ($warning in $found.Warnings) {
    Send-News @{ event = 'warning'; hresult = $warning.HResult; message = [string] $warning.Message }
  }
  if (-not (Test-Success $found.ResultCode)) {
    throw "the search ended with the result code $($found.ResultCode)"
  }
  $chosen = New-Object Collections.ArrayList
  for ($n = 0; $n -lt $found.Updates.Count; $n++) {
    $update = $found.Updates.Item($n)
    $left = ''
    if (-not (Test-Wanted $update)) {
      $left = 'filters'
    } elseif ($update.InstallationBehavior.CanRequestUserInput) {
      $left = 'input'
    } elseif ($chosen.Count -ge $request.limit) {
      $left = 'limit'
    } else {
      $null = $chosen.Add($update)
    }
    Send-News @{
      event = 'found'
      id    = [string] $update.Identity.UpdateID
      title = [string] $update.Title
      kb    = [string[]] @($update.KBArticleIDs | ForEach-Object { [string] $_ })
      size  = [long] $update.MaxDownloadSize
      left  = $left
    }
  }
  Send-News @{ event = 'chosen' }

  $ready = @{}
  for ($n = 0; $n -lt $chosen.Count; $n++) {
    $during = 'download'
    Send-News @{ event = 'downloading'; index = $n }
    $news = @{ event = 'downloaded'; index = $n; code = 2; hresult = 0; message = '' }
    try {
      $update = $chosen[$n]
      if (-not $update.EulaAccepted) { $update.AcceptEula() }
      if (-not $update.IsDownloaded) {
        $one = New-Object -ComObject Microsoft.Update.UpdateColl
        $null = $one.Add($update)
        $downloader = $session.CreateUpdateDownloader()
        $downloader.Updates = $one
        $result = $downloader.Download().GetUpdateResult(0)
        $news.code = [int] $result.ResultCode
        $news.hresult = $result.HResult
      }
    } catch {
      $news.code = 4
      $news.hresult = Get-ErrorCode $_.Exception
      $news.message = [string] $_.Exception.Message
    }
    $ready[$n] = Test-Success $news.code
    Send-News $news
  }

  $reboot = $false
  for ($n = 0; $n -lt $chosen.Count; $n++) {
    if (-not $ready[$n]) { continue }
    $during = 'installation'
    $installer = $session.CreateUpdateInstaller()
    if ($installer.RebootRequiredBeforeInstallation) {
      # What was installed has to be completed before anything else can be.
      $reboot = $true
      break
    }
    Send-News @{ event = 'installing'; index = $n }
    $news = @{ event = 'installed'; index = $n; code = 4; hresult = 0; message = ''; reboot = $false }
    try {
      $one = New-Object -ComObject Microsoft.Update.UpdateColl
      $null = $one.Add($chosen[$n])
      $installer.Updates = $one
      # Nobody could answer a question. Old versions do not have this.
      try { $installer.ForceQuiet = $true } catch { $null = $_ }
      $result = $installer.Install().GetUpdateResult(0)
      $news.code = [int] $result.ResultCode
      $news.hresult = $result.HResult
      $news.reboot = [bool] $result.RebootRequired
    } catch {
      $news.hresult = Get-ErrorCode $_.Exception
      $news.message = [string] $_.Exception.Message
    }
    $reboot = $reboot -or $news.reboot
    Send-News $news
  }
  Send-News @{ event = 'end'; reboot = [bool] ($reboot -or $system.RebootRequired) }
} catch {
  Send-News @{ event = 'failed'; during = $during; hresult = (Get-ErrorCode $_.Exception); message = [string] $_.Exception.Message }
  exit 1
}
