"""Every word of the page, in English and Chinese. Errors are the pipeline's own, in English."""

from __future__ import annotations

ENGLISH = {
    "language": "English",
    "tagline": "Faces of videos and photos become drawings.",
    "video": "Video",
    "picture": "Pictures",
    "history": "Results",
    "drop_video": "Drop a clip here, or choose one",
    "drop_pictures": "Drop photos here, or choose some",
    "another": "Choose another",
    "clip_facts": "{width} × {height} px · {duration} · {rate} frames/s · {sound}",
    "with_sound": "with sound",
    "without_sound": "no sound",
    "picture_facts": "{count} photos",
    "picture_fact": "1 photo",
    "frame": "Frame shown (seconds)",
    "shown_picture": "Photo shown",
    "before": "before",
    "after": "after",
    "divider": "Move the line between before and after",
    "empty_video": "A frame of your clip appears here, before and after.",
    "empty_picture": "Your photo appears here, before and after.",
    "faces_found": "{count} faces found",
    "face_found": "1 face found",
    "no_face": "No face here, so nothing is drawn. Choose another frame, or the placement of the whole frame.",
    "style": "Style",
    "palette": "Colours",
    "own_colours": "The face's own",
    "style_colours": "The style's",
    "degree": "Degree (0 is the photo, 1 the full drawing)",
    "more": "More settings",
    "model": "Model",
    "built_in": "Built-in",
    "placement": "Placement",
    "paste": "Faces drawn into the frame",
    "crop": "The face region alone",
    "full": "The whole frame drawn",
    "faces": "Faces",
    "all": "All",
    "largest": "The largest only",
    "detail": "Detail (px between the eyes)",
    "auto": "Follows the face",
    "steady": "Take the flicker out",
    "sound": "Keep the sound",
    "format": "Format",
    "from": "From (seconds)",
    "to": "To (seconds; 0: the end)",
    "start": "Start",
    "cancel": "Cancel",
    "waiting": "Waiting: {count} before this one",
    "working": "{frames} of {total} frames · {rate} frames/s · {left} left",
    "working_open": "{frames} frames · {rate} frames/s",
    "pictures_done": "{frames} of {total} photos",
    "beginning": "Looking for faces …",
    "cancelled": "Cancelled. Nothing was kept.",
    "done": "Done: {frames} frames in {seconds}, {rate} frames/s",
    "pictures_ready": "Done: {count} photos in {seconds}",
    "original": "Original",
    "drawing": "Drawing",
    "download": "Download {name}",
    "download_all": "Download all ({name})",
    "not_played": "Browsers do not play this format; download it.",
    "last_frame": "The last drawn frame",
    "command": "The same on the command line",
    "copy": "Copy",
    "copied": "Copied",
    "no_input": "Drop a clip first.",
    "no_pictures": "Drop a photo first.",
    "too_long": "{name} is {minutes} minutes long; this page takes {limit} (--max_minutes)",
    "history_empty": "What you make in this session is listed here until the page has been idle for an hour.",
}
CHINESE = {
    "language": "中文",
    "tagline": "把视频和照片中的人脸变成绘画。",
    "video": "视频",
    "picture": "图片",
    "history": "结果",
    "drop_video": "把视频拖到这里，或点击选择",
    "drop_pictures": "把照片拖到这里，或点击选择",
    "another": "换一个",
    "clip_facts": "{width} × {height} 像素 · {duration} · {rate} 帧/秒 · {sound}",
    "with_sound": "有声音",
    "without_sound": "无声音",
    "picture_facts": "{count} 张照片",
    "picture_fact": "1 张照片",
    "frame": "预览的画面（秒）",
    "shown_picture": "预览的照片",
    "before": "原图",
    "after": "效果",
    "divider": "移动原图与效果之间的分界线",
    "empty_video": "这里显示视频画面的原图与效果。",
    "empty_picture": "这里显示照片的原图与效果。",
    "faces_found": "找到 {count} 张人脸",
    "face_found": "找到 1 张人脸",
    "no_face": "此处没有找到人脸。请换一个画面；没有人脸就不会绘制（也可以在“放置方式”中选择绘制整幅画面）。",
    "style": "风格",
    "palette": "颜色",
    "own_colours": "保留人脸本来的颜色",
    "style_colours": "使用风格的颜色",
    "degree": "风格程度（0 为照片，1 为完全绘画）",
    "more": "更多设置",
    "model": "模型",
    "built_in": "内置模型",
    "placement": "放置方式",
    "paste": "把画好的脸放回画面",
    "crop": "只要人脸区域",
    "full": "绘制整幅画面",
    "faces": "人脸",
    "all": "全部",
    "largest": "只画最大的",
    "detail": "精细度（两眼间距，像素）",
    "auto": "随人脸大小",
    "steady": "消除闪烁",
    "sound": "保留声音",
    "format": "格式",
    "from": "起点（秒）",
    "to": "终点（秒；0 为结尾）",
    "start": "开始",
    "cancel": "取消",
    "waiting": "排队中：前面还有 {count} 个",
    "working": "第 {frames} / {total} 帧 · {rate} 帧/秒 · 还需 {left}",
    "working_open": "第 {frames} 帧 · {rate} 帧/秒",
    "pictures_done": "第 {frames} / {total} 张",
    "beginning": "正在寻找人脸……",
    "cancelled": "已取消，没有留下任何文件。",
    "done": "完成：{frames} 帧，用时 {seconds}，{rate} 帧/秒",
    "pictures_ready": "完成：{count} 张照片，用时 {seconds}",
    "original": "原片",
    "drawing": "绘画",
    "download": "下载 {name}",
    "download_all": "全部下载（{name}）",
    "not_played": "浏览器不能播放这种格式，请下载。",
    "last_frame": "最近画好的一帧",
    "command": "等同的命令行",
    "copy": "复制",
    "copied": "已复制",
    "no_input": "请先放入视频。",
    "no_pictures": "请先放入照片。",
    "too_long": "{name} 长 {minutes} 分钟；本页最多接受 {limit} 分钟（--max_minutes）",
    "history_empty": "本次会话的结果列在这里，页面闲置一小时后删除。",
}
LANGUAGES = {"en": ENGLISH, "zh": CHINESE}


class Words:
    """The strings of one language."""

    def __init__(self, language: str) -> None:
        self.language, self._strings = language, LANGUAGES[language]

    def __call__(self, key: str, **values: object) -> str:
        return self._strings[key].format(**values)


def preferred(accept: str) -> str:
    """The page's language for an Accept-Language header: Chinese where it is wanted before English."""
    wanted = []
    for place, part in enumerate(accept.lower().split(",")):
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), place, name.split("-")[0]))
        except ValueError:
            continue
    known = [name for *_, name in sorted(wanted) if name in LANGUAGES]
    return known[0] if known else "en"


def duration(seconds: float) -> str:
    """65.2 -> 1:05; a short one with a tenth: 4.2 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
